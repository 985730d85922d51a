"""Staged generations, promoted, abandoned or followed by a newer one: verdicts and cuts, from the log alone."""

from dataclasses import replace

import pytest

from hotswap.generation import Golden, Model, Proto
from hotswap.swap.command import (
    AbandonCommand,
    Outcome,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    SwapCommand,
)
from hotswap.swap.timeline import Timeline

PROTO = Proto.inline("syntax = 'proto3';")


def model(number):
    return Model(f"file:///m{number}", f"{number:064x}")


def swap(number, **parts):
    parts = {"model": model(number), "proto": PROTO} | parts
    return SwapCommand(command_id=f"c{number}", generation=number, **parts)


def staged(number, **parts):
    return swap(number, is_staged=True, **parts)


def promote(number, cut=None, *, is_complete=False, command_id="p"):
    return PromoteCommand(command_id=command_id, generation=number, cut=cut or {}, is_complete=is_complete)


def abandon(number, abandoned, **parts):
    return AbandonCommand(command_id=f"c{number}", generation=number, abandoned=abandoned, **parts)


def timeline(*commands):
    """Return a timeline in which none of these is refused."""
    line = Timeline()
    for command in commands:
        assert line.receive(command, 0).outcome in (None, Outcome.APPLIED)
    return line


def cuts(line, number, partitions=4):
    return [line.swaps[number].cut_at(partition) for partition in range(partitions)]


def refused(line, command, timestamp_ms=0):
    """Return the code with which a command is refused, which changes nothing."""
    before, revision = dict(line.swaps), line.revision
    verdict = line.receive(command, timestamp_ms)
    assert verdict.outcome is Outcome.REFUSED
    assert (line.swaps, line.revision) == (before, revision)
    return verdict.code


# ---- staged


@pytest.mark.parametrize("command", [staged(2, cut={1: 7}), None], ids=["swap", "rollback"])
def test_a_staged_cut_over_cuts_the_partitions_that_it_names_alone(command):
    line = timeline(swap(1), command or RollbackCommand(command_id="r", generation=2, to=1, cut={1: 7}, is_staged=True))
    assert cuts(line, 2) == [None, 7, None, None]
    assert not line.swaps[2].is_whole
    assert cuts(line, 1) == [0, 0, 0, 0]
    assert line.swaps[1].is_whole


def test_a_staged_generation_is_the_newest_and_the_next_ones_base():
    line = timeline(swap(1), staged(2), swap(3, model=None))
    assert line.swaps[3].generation.model == model(2)


# ---- promoted


def test_a_promote_cuts_what_it_names_and_leaves_the_rest():
    line = timeline(swap(1), staged(2, cut={3: 9}), promote(2, {0: 0, 1: 40}))
    assert cuts(line, 2) == [0, 40, None, 9]
    assert not line.swaps[2].is_whole


@pytest.mark.parametrize(("to", "then"), [(99, 99), (100, 100), (101, 100), (0, 0)])
def test_a_promote_lowers_a_cut_and_never_raises_it(to, then):
    line = timeline(swap(1), staged(2, cut={0: 100}), promote(2, {0: to}))
    assert cuts(line, 2)[0] == then


def test_what_is_cut_at_once_stays_so():
    line = timeline(swap(1), staged(2), promote(2, is_complete=True), promote(2, {0: 50}, command_id="q"))
    assert cuts(line, 2) == [0, 0, 0, 0]
    assert line.swaps[2].is_whole


def test_a_complete_promote_cuts_at_once_what_no_command_has_named_and_what_is_added_later():
    line = timeline(swap(1), staged(2, cut={0: 100}), promote(2, {1: 40}, is_complete=True))
    assert cuts(line, 2) == [100, 40, 0, 0]
    assert line.swaps[2].cut_at(1_000) == 0


def test_without_a_complete_promote_a_partition_that_is_added_is_not_cut():
    line = timeline(swap(1), staged(2), promote(2, dict.fromkeys(range(4), 0)))
    assert cuts(line, 2, 5) == [0, 0, 0, 0, None]


def test_a_promote_also_brings_an_ordinary_cut_forward():
    line = timeline(swap(1), swap(2, cut={0: 100, 1: 100}), promote(2, {0: 60}))
    assert cuts(line, 2, 3) == [60, 100, 0]


def test_each_promote_changes_the_revision_and_is_answered_as_applied():
    line = timeline(swap(1), staged(2))
    before = line.revision
    verdict = line.receive(promote(2, {0: 5}), 0)
    assert (verdict.outcome, verdict.generation, line.revision != before) == (Outcome.APPLIED, 2, True)
    assert line.newest == 2


def test_a_repeated_promote_is_a_duplicate_and_one_with_other_offsets_an_equivocation():
    line = timeline(swap(1), staged(2), promote(2, {0: 5}))
    assert line.receive(promote(2, {0: 5}), 0).outcome is Outcome.DUPLICATE
    assert refused(line, promote(2, {0: 4})) == "EQUIVOCATION"
    assert refused(line, promote(2, {0: 5}, is_complete=True)) == "EQUIVOCATION"


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (promote(1, {0: 0}), "STALE", "generation 1 goes no further, since 2 was accepted after it"),
        (promote(3, {0: 0}), "UNKNOWN_BASE", "generation 3 was never accepted here"),
        (promote(0, is_complete=True), "UNKNOWN_BASE", "generation 0 was never accepted here"),
    ],
    ids=["an earlier one", "a later one", "none"],
)
def test_only_the_newest_accepted_generation_is_promoted(command, code, says):
    line = timeline(swap(1), staged(2))
    assert refused(line, command) == code
    assert says in line.receive(command, 0).message


@pytest.mark.parametrize("end", [swap(3), staged(3), abandon(3, 2)], ids=["a swap", "a staged one", "an abandon"])
def test_what_another_generation_followed_goes_no_further(end):
    line = timeline(swap(1), staged(2), promote(2, {0: 5}), end)
    assert refused(line, promote(2, {1: 0}, command_id="late")) == "STALE"
    assert cuts(line, 2, 2) == [5, None]


@pytest.mark.parametrize(
    "end", [swap(2), RollbackCommand(command_id="r", generation=3, to=9)], ids=["a stale swap", "a rollback to nothing"]
)
def test_what_is_refused_ends_nothing(end):
    line = timeline(swap(1), staged(2))
    assert refused(line, replace(end, command_id="late")) in ("STALE", "UNKNOWN_BASE")
    assert line.receive(promote(2, {1: 0}), 0).outcome is Outcome.APPLIED


def test_a_promote_after_its_time_is_expired_and_what_was_promoted_remains():
    line = timeline(swap(1), staged(2, promote_by_ms=1_000))
    assert line.receive(promote(2, {0: 5}), 1_000).outcome is Outcome.APPLIED
    late = promote(2, {1: 5}, is_complete=True, command_id="late")
    assert refused(line, late, 1_001) == "EXPIRED"
    assert "1 ms after its promote_by" in line.receive(late, 0).message
    assert cuts(line, 2) == [5, None, None, None]


def test_a_promote_of_what_is_stale_is_stale_however_late():
    line = timeline(swap(1), staged(2, promote_by_ms=1_000), swap(3))
    assert refused(line, promote(2, {0: 0}), 2_000) == "STALE"


def test_a_pause_and_a_refused_command_leave_a_staged_generation_the_newest():
    line = timeline(swap(1), staged(2), PauseCommand(command_id="pause", is_paused=True))
    assert refused(line, replace(swap(2), command_id="again")) == "STALE"
    assert line.receive(promote(2, is_complete=True), 0).outcome is Outcome.APPLIED


# ---- abandoned


def test_an_abandon_ends_a_generation_and_brings_one_with_the_parts_before_it():
    line = timeline(swap(1), staged(2), promote(2, {0: 5}))
    verdict = line.receive(abandon(3, 2, cut={0: 70}), 0)
    assert (verdict.outcome, verdict.generation) == (Outcome.APPLIED, 3)
    assert line.swaps[3].generation == replace(line.swaps[1].generation, number=3)
    assert [line.swaps[number].is_abandoned for number in (1, 2, 3)] == [False, True, False]
    assert (line.swaps[3].replaces, cuts(line, 3, 2)) == (2, [70, 0])
    assert not line.swaps[2].is_whole
    assert not line.swaps[3].is_whole


def test_an_abandon_of_what_has_every_partition_is_one_of_any_other():
    line = timeline(swap(1), swap(2), abandon(3, 2))
    assert line.swaps[2].is_abandoned
    assert line.swaps[3].generation.model == model(1)


def test_an_abandon_changes_the_revision():
    line = timeline(swap(1), staged(2))
    before = line.revision
    line.receive(abandon(3, 2), 0)
    assert line.revision != before


def test_the_parts_come_from_the_newest_that_was_not_abandoned_unless_another_is_named():
    line = timeline(
        swap(1), swap(2), staged(3), abandon(4, 3), staged(5), abandon(6, 5), staged(7), abandon(8, 7, to=1)
    )
    assert [line.swaps[number].generation.model for number in (4, 6, 8)] == [model(2), model(2), model(1)]


def test_an_abandon_has_the_golden_answers_and_samples_of_what_it_goes_back_to():
    golden = Golden("file:///g", "a" * 64)
    line = timeline(swap(1, golden=golden, samples=(b"one",)), staged(2, golden=Golden()), abandon(3, 2))
    assert (line.swaps[2].generation.golden, line.swaps[3].generation.golden) == (None, golden)
    assert line.swaps[3].generation.samples == (b"one",)


def test_a_part_can_be_named_that_was_abandoned_itself():
    line = timeline(swap(1), staged(2), abandon(3, 2), staged(4), abandon(5, 4, to=2))
    assert line.swaps[5].generation.model == model(2)


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (replace(abandon(2, 2), command_id="again"), "STALE", "not greater than 2"),
        (abandon(3, 1), "STALE", "generation 1 goes no further"),
        (abandon(3, 9), "UNKNOWN_BASE", "generation 9 was never accepted here"),
        (abandon(3, 0), "UNKNOWN_BASE", "generation 0 was never accepted here"),
        (abandon(3, 2, to=9), "UNKNOWN_BASE", "generation 9 was never accepted here"),
        (abandon(3, 2, to=2), "UNKNOWN_BASE", "no generation before 2 that its partitions could go back to"),
        (abandon(2**60, 2, rules=1), "OUT_OF_RANGE", "more than 2^53"),
    ],
    ids=["number", "earlier", "unknown", "none", "unknown parts", "its own parts", "too far"],
)
def test_an_abandon_is_refused(command, code, says):
    line = timeline(swap(1), staged(2))
    assert refused(line, command) == code
    assert says in line.receive(command, 0).message


def test_the_first_generation_cannot_be_abandoned():
    assert refused(timeline(swap(1)), abandon(2, 1)) == "UNKNOWN_BASE"


def test_what_an_abandon_brought_can_be_promoted_abandoned_and_followed():
    line = timeline(swap(1), staged(2), abandon(3, 2, cut={0: 90}), promote(3, {0: 40}), abandon(4, 3))
    assert (cuts(line, 3, 1), line.swaps[4].replaces, line.swaps[4].generation.model) == ([40], 3, model(1))
    assert line.receive(swap(5), 0).outcome is None
    assert line.swaps[5].is_whole


def test_an_abandoned_generation_is_abandoned_once():
    line = timeline(swap(1), staged(2), abandon(3, 2))
    assert refused(line, abandon(4, 2)) == "STALE"


# ---- all readers agree


def test_commands_that_differ_in_what_came_with_version_2_are_not_the_same():
    commands = [
        swap(2),
        staged(2),
        staged(2, promote_by_ms=5),
        swap(2, golden=Golden()),
        swap(2, golden=Golden("file:///g", "a" * 64)),
        RollbackCommand(command_id="c2", generation=2, to=1),
        RollbackCommand(command_id="c2", generation=2, to=1, is_staged=True),
        abandon(2, 1),
        abandon(2, 1, to=1),
        abandon(2, 1, cut={0: 1}),
        promote(2, command_id="c2"),
        promote(2, {0: 0}, command_id="c2"),
        promote(2, is_complete=True, command_id="c2"),
    ]
    for first in commands:
        line = timeline(swap(1))
        line.receive(first, 0)
        for second in commands:
            said = line.receive(second, 0)
            assert (said.outcome is Outcome.DUPLICATE) == (first == second), (first, second)
