"""The verifier of generations that come by parts: it finds each defect planted in a good course, and nothing else."""

import pytest

from faults.cohorts import InParts, Seen, Window
from faults.fold import Command
from faults.histories import TOPICS

SHA = "a" * 64
EVERY_MS = 100
BEGAN_MS = 1_000_000


def at_ms(offset):
    """When the request at an offset is asked; it is answered 10 ms later."""
    return BEGAN_MS + offset * EVERY_MS


def command(number, **kind):
    return Command(command_id=f"c{number}", deployment="d", least_version=2, **kind).SerializeToString()


COMMANDS = [
    (0, {"swap": {"generation": 1, "model": {"uri": "file:///m", "sha256": SHA}, "proto": {"text": "p"}}}),
    (5, {"swap": {"generation": 2, "cut_over": {"staged": True}}}),
    (10, {"promote": {"generation": 2, "offsets": {0: 0}}}),
    (60, {"abandon": {"generation": 3, "abandoned": 2}}),
    (70, {"swap": {"generation": 4, "cut_over": {"staged": True}}}),
    (80, {"promote": {"generation": 4, "offsets": {0: 85, 1: 90}, "complete": True}}),
]
"""The offset before which each comes, of both partitions: 2 is a canary on partition 0, and 3 takes its place."""
LENGTH = 140


def good(partition, offset):
    if offset >= (85, 90)[partition]:
        return 4
    return (1 if offset < 10 else 2 if offset < 60 else 3) if partition == 0 else 1


def found(chosen=good, commands=COMMANDS, announced=(), late=()):
    """Return the kinds of findings; `chosen` picks the generation of each answer, `late` are answered at the end."""
    verifier = InParts(topics=TOPICS, deployment="d", oracle=None)
    for number, (before, kind) in enumerate(commands):
        verdict = verifier._fold.receive(command(number, **kind), at_ms(before) - 50)
        assert verdict.outcome in ("", "APPLIED")
    for partition in (0, 1):
        for offset in range(1, LENGTH):
            answered_ms = at_ms(LENGTH if (partition, offset) in late else offset) + 10
            seen = Seen(offset, chosen(partition, offset), at_ms(offset), answered_ms, b"%d" % partition)
            verifier._seen[partition].append(seen)
    verifier._announced.update(announced)
    verifier.windows.append(Window(2, frozenset({0}), at_ms(11), at_ms(60) - 50))
    verifier.finish({}, {})
    return {kind for kind in verifier.counts if kind not in ("torn", "stale_offset")}


def test_a_good_course_has_no_finding():
    assert found() == set()


@pytest.mark.parametrize(
    ("partition", "offset", "generation", "kinds"),
    [
        (1, 30, 2, {"stray", "cohort"}),  # outside of the canary
        (0, 8, 2, {"stray"}),  # before it was promoted
        (0, 35, 1, {"wrong_cut", "cohort"}),  # long after the canary had the partition
        (1, 65, 3, {"stray"}),  # a stand-in where the abandoned one has never scored
        (0, 75, 4, {"stray", "wrong_cut"}),  # before its cut, and before it was promoted
        (0, 82, 4, {"wrong_cut"}),  # before its cut
        (1, 130, 1, {"wrong_cut"}),  # after the cut of a later one
    ],
)
def test_one_answer_by_another_generation_is_found(partition, offset, generation, kinds):
    assert found(lambda *at: generation if at == (partition, offset) else good(*at)) == kinds


def test_a_partition_that_follows_an_abandonment_within_a_while_may_and_one_that_never_does_is_late():
    assert found(lambda p, at: 2 if p == 0 and 60 <= at < 70 else good(p, at)) == set()
    held = [(before, kind) for before, kind in COMMANDS if before <= 60]
    assert found(lambda p, at: (2 if at >= 10 else 1) if p == 0 else 1, held) == set()  # 8 s are not long

    def never(_, __):
        return 1

    whole = [*COMMANDS[:2], (10, {"promote": {"generation": 2, "complete": True}})]
    assert found(never, whole) == set()
    early = [(before - 400, kind) for before, kind in whole]
    assert found(never, early) == {"late"}


def test_an_idle_partition_may_have_come_to_the_abandoned_generation_without_an_answer():
    stands_in = lambda p, at: 3 if p == 1 and 60 <= at < 90 else good(p, at)  # noqa: E731
    assert found(stands_in) == {"stray"}
    assert found(stands_in, announced={(1, 2): 60}) == set()


def test_what_a_dead_worker_left_is_answered_by_the_next_generation_and_the_cohort_is_constant_all_the_same():
    left = {(1, 58), (1, 59)}
    assert found(late=left) == set()
