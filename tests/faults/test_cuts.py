"""The verifier holds answers to what promotes and abandons have made of the cuts."""

import pytest

from faults.fold import Command
from faults.histories import CUT, DEPLOYMENT, LAST, MODELS, TOPICS, make
from faults.planted import ORACLE
from faults.verifier import Record, Verifier

_BEGAN_MS = 1_700_000_000_000


def canary(partition, offset):
    """Generation 2 has partition 0 from its cut on, and gives it to 3, which has the parts of 1; 1 keeps the other."""
    if partition:
        return 1
    return 3 if offset >= LAST[0] else 2 if offset >= CUT[0] else 1


def commands(promoted, *, is_abandoned=True):
    """Return what follows the first: a staged swap to generation 2, a promote for these partitions, and an abandon."""
    staged = Command(command_id="c2", deployment=DEPLOYMENT, least_version=2)
    staged.swap.generation = 2
    staged.swap.model.uri, staged.swap.model.sha256 = "file:///two", MODELS[2]
    staged.swap.cut_over.staged = True
    promote = Command(command_id="p2", deployment=DEPLOYMENT, least_version=2)
    promote.promote.generation = 2
    promote.promote.offsets.update(promoted)
    end = Command(command_id="c3", deployment=DEPLOYMENT, least_version=2)
    end.abandon.generation, end.abandon.abandoned = 3, 2
    end.abandon.offsets[0] = LAST[0]
    return (staged, 1_000), (promote, 2_000), *([(end, 10_000)] if is_abandoned else [])


def history(chosen=canary, promoted=None, **more):
    """Return a history with these commands, in which `chosen` picks the generation of each answer."""
    made = make(ORACLE, chosen=chosen)
    control = made.records[TOPICS.control][:1]
    for command, after_ms in commands({0: CUT[0]} if promoted is None else promoted, **more):
        value = command.SerializeToString()
        control.append(Record(TOPICS.control, 0, len(control), _BEGAN_MS + after_ms, None, value))
    made.records[TOPICS.control] = control
    return made


def found(made, seed=0):
    verifier = Verifier(topics=TOPICS, deployment=DEPLOYMENT, oracle=ORACLE)
    made.feed(verifier, seed)
    return set(verifier.counts)


@pytest.mark.parametrize("seed", range(5))
def test_a_generation_that_was_promoted_and_abandoned_is_found_good_in_whatever_order_its_story_is_told(seed):
    assert found(history(), seed) == set()


def instead(partition, first, number, end=10**9):
    """Choose a generation from an offset of a partition on, and what is right elsewhere."""
    return lambda at, offset: number if at == partition and first <= offset < end else canary(at, offset)


WRONG = {
    "a partition that nothing promoted": instead(1, 100, 2),
    "before the promoted offset": instead(0, CUT[0] - 5, 2, CUT[0]),
    "one in its place where it never was": instead(1, 100, 3),
    "the abandoned one behind the offset where it ends": instead(0, LAST[0], 2, LAST[0] + 20),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("why", WRONG)
def test_a_generation_where_it_may_not_be_is_a_wrong_cut(why, seed):
    assert found(history(WRONG[why]), seed) == {"wrong_cut"}


def test_what_is_behind_a_promoted_offset_stays_with_the_older_one_only_if_the_newer_was_abandoned():
    late = instead(0, CUT[0], 1, LAST[0])
    assert found(history(lambda at, offset: min(late(at, offset), 1), {0: CUT[0]})) == set()
    stays = instead(0, CUT[0], 1, CUT[0] + 30)
    assert found(history(lambda at, offset: min(stays(at, offset), 2), is_abandoned=False)) == {"wrong_cut"}


def test_an_abandoned_generation_comes_to_no_further_partition():
    both = {0: CUT[0], 1: 150}
    assert found(history(promoted=both)) == set()
    assert found(history(instead(1, 150, 2), both)) == {"wrong_cut"}
    assert found(history(instead(1, 150, 2), both, is_abandoned=False)) >= {"wrong_generation"}


def test_a_cut_that_a_later_promote_lowers_is_no_finding():
    made = history(promoted={0: CUT[0] + 20})
    assert found(made) == {"wrong_cut"}
    again = Command(command_id="p3", deployment=DEPLOYMENT, least_version=2)
    again.promote.generation, again.promote.offsets[0] = 2, CUT[0]
    control = made.records[TOPICS.control]
    abandon = control.pop()
    control.append(Record(TOPICS.control, 0, 3, _BEGAN_MS + 3_000, None, again.SerializeToString()))
    control.append(Record(TOPICS.control, 0, 4, abandon.timestamp_ms, None, abandon.value))
    assert found(made) == set()
