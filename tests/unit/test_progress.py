"""Which generation scores which offset, decided from the log and from what is ready on this worker."""

import pytest

from hotswap.agenda.progress import GenerationState, Progress
from hotswap.batch import Position
from hotswap.generation import Model, Proto
from hotswap.pipeline.ports import Serve, Wait
from hotswap.swap.command import (
    AbandonCommand,
    Outcome,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    SwapCommand,
)
from hotswap.swap.timeline import Timeline

MODEL, PROTO = Model("file:///m", "a" * 64), Proto.inline("syntax = 'proto3';")


def swap(number, **parts):
    return SwapCommand(command_id=f"c{number}", generation=number, model=MODEL, proto=PROTO, **parts)


def progress(*commands, ready=()):
    line = Progress(Timeline())
    for command in commands:
        assert line.timeline.receive(command, 0).outcome in (None, Outcome.APPLIED)
    for number in ready:
        advance(line, number, GenerationState.READY)
    return line


def advance(line, number, to):
    line.move(number, GenerationState.STAGING)
    line.move(number, to)


def test_the_generation_before_an_immediate_swap_serves_until_the_new_one_is_ready():
    line = progress(swap(1), swap(2), ready=[1])
    assert line.choose(0, Position(10)) == Serve(1, None)
    advance(line, 2, GenerationState.READY)
    assert line.choose(0, Position(10)) == Serve(2, None)


def test_a_cut_by_offsets_splits_the_partition_exactly_there():
    line = progress(swap(1), swap(2, cut={0: 100, 1: 5}), ready=[1, 2])
    assert line.choose(0, Position(99)) == Serve(1, 100)
    assert line.choose(0, Position(100)) == Serve(2, None)
    assert line.choose(1, Position(4)) == Serve(1, 5)


def test_a_partition_that_was_empty_at_the_cut_waits_for_the_new_generation():
    line = progress(swap(1), swap(2, cut={0: 0}), ready=[1])

    assert isinstance(line.choose(0, Position(0)), Wait)
    assert line.choose(1, Position(0)) == Serve(1, None)


def test_a_partition_that_the_cut_does_not_name_cuts_over_at_once():
    line = progress(swap(1), swap(2, cut={0: 100}), ready=[1, 2])
    assert line.choose(3, Position(0)) == Serve(2, None)


def test_a_partition_at_its_cut_waits_for_the_new_generation_and_is_not_scored_with_the_old_proto():
    line = progress(swap(1), swap(2, cut={0: 100}), ready=[1])
    choice = line.choose(0, Position(100))
    assert isinstance(choice, Wait)
    assert choice.number == 2


def test_a_failed_swap_by_offsets_returns_the_partition_to_the_old_generation():
    line = progress(swap(1), swap(2, cut={0: 100}), ready=[1])
    advance(line, 2, GenerationState.FAILED)
    assert line.choose(0, Position(100)) == Serve(1, None)


def test_a_partition_is_never_scored_below_its_floor():
    line = progress(swap(1), swap(2), ready=[1])
    choice = line.choose(0, Position(10, floor=2))
    assert isinstance(choice, Wait)
    assert choice.number == 2


def test_a_floor_above_everything_accepted_holds_the_partition_and_says_so():
    line = progress(swap(1), ready=[1])
    choice = line.choose(0, Position(10, floor=9))
    assert isinstance(choice, Wait)
    assert "generation 9" in choice.why


def test_three_generations_with_two_cuts_ahead_each_score_their_range():
    line = progress(swap(1), swap(2, cut={0: 100}), swap(3, cut={0: 200}), ready=[1, 2, 3])
    assert [line.choose(0, Position(offset)) for offset in (50, 150, 250)] == [
        Serve(1, 100),
        Serve(2, 200),
        Serve(3, None),
    ]


def test_a_pause_holds_every_partition_until_a_resume():
    line = progress(swap(1), ready=[1])
    assert line.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0).outcome is Outcome.APPLIED
    assert isinstance(line.choose(0, Position(0)), Wait)
    line.timeline.receive(PauseCommand(command_id="q", is_paused=False), 0)
    assert line.choose(0, Position(0)) == Serve(1, None)


def test_an_illegal_transition_raises_and_changes_nothing():
    line = progress(swap(1))
    with pytest.raises(AssertionError, match="not a legal transition"):
        line.move(1, GenerationState.READY)


@pytest.mark.parametrize(
    ("later", "is_ready", "is_overtaken"),
    [
        (swap(2), True, True),
        (swap(2), False, False),
        (swap(2, cut={0: 10}), True, False),
        (swap(2, cut={0: 5}), True, True),
        (swap(2, cut={1: 10}), True, True),
        (RollbackCommand(command_id="c2", generation=2, to=1), True, True),
    ],
)
def test_a_long_batch_is_overtaken_by_a_generation_that_may_score_it_now_but_not_by_a_cut_ahead(
    later, is_ready, is_overtaken
):
    line = progress(swap(1), later, ready=(1, 2) if is_ready else (1,))
    assert line.is_overtaken(0, Position(5, 1), 1) is is_overtaken


def test_a_long_batch_is_overtaken_by_a_pause_until_it_ends():
    line = progress(swap(1), ready=(1,))
    for is_paused in (True, False):
        line.timeline.receive(PauseCommand(command_id=str(is_paused), is_paused=is_paused), 0)
        assert line.is_overtaken(0, Position(5, 1), 1) is is_paused


def test_a_partition_at_the_highest_number_says_how_to_continue():
    line = progress(swap(1), ready=[1])
    assert "hotswap move" in line.choose(0, Position(10, floor=2**64 - 1)).why


# ---- staged, promoted and abandoned


def promote(number, cut=None, *, is_complete=False):
    return PromoteCommand(command_id=f"p{number}", generation=number, cut=cut or {}, is_complete=is_complete)


def abandon(number, abandoned, **parts):
    return AbandonCommand(command_id=f"c{number}", generation=number, abandoned=abandoned, **parts)


STAGED = swap(1), swap(2, is_staged=True)


def test_a_staged_generation_takes_no_partition_though_it_is_ready():
    line = progress(*STAGED, ready=[1, 2])
    assert [line.choose(0, at) for at in (Position(0), Position(50, 1))] == [Serve(1, None)] * 2


def test_a_promoted_partition_is_cut_and_the_others_are_not():
    line = progress(*STAGED, promote(2, {0: 60, 1: 0}), ready=[1, 2])
    assert [line.choose(partition, Position(50, 1)) for partition in (0, 1, 2)] == [
        Serve(1, 60),
        Serve(2, None),
        Serve(1, None),
    ]
    assert line.choose(0, Position(60, 1)) == Serve(2, None)


def test_a_complete_promote_is_for_each_partition_that_there_is_and_will_be():
    line = progress(*STAGED, promote(2, is_complete=True), ready=[1])
    assert line.choose(7, Position(50, 1)) == Serve(1, None)
    advance(line, 2, GenerationState.READY)
    assert [line.choose(7, at) for at in (Position(50, 1), Position(0))] == [Serve(2, None)] * 2


def test_a_staged_generation_that_failed_takes_nothing_when_it_is_promoted():
    line = progress(*STAGED, ready=[1])
    advance(line, 2, GenerationState.FAILED)
    line.timeline.receive(promote(2, {0: 0}, is_complete=True), 0)
    assert [line.choose(partition, Position(50, 1)) for partition in (0, 1)] == [Serve(1, None)] * 2


def test_a_partition_is_on_the_course_of_a_staged_generation_until_another_follows():
    line = progress(*STAGED, promote(2, {0: 60}))
    assert [[one.number for one in line.course(p, Position(50, 1))] for p in (0, 1)] == [[2, 1], [2, 1]]
    line.timeline.receive(swap(3, cut={0: 90, 1: 90}), 0)
    assert [[one.number for one in line.course(p, Position(50, 1))] for p in (0, 1)] == [[3, 2, 1], [3, 1]]


def test_what_a_newer_generation_followed_never_takes_a_partition_that_was_not_cut_to_it():
    line = progress(*STAGED, promote(2, {0: 60}), swap(3, is_staged=True), ready=[1, 2, 3])
    assert [line.choose(partition, Position(60, 1)) for partition in (0, 1)] == [Serve(2, None), Serve(1, None)]
    line.timeline.receive(promote(3, is_complete=True), 0)
    assert [line.choose(partition, Position(60, 1)) for partition in (0, 1)] == [Serve(3, None)] * 2


HALF = *STAGED, promote(2, {0: 40, 1: 60})


def test_an_abandoned_generation_takes_no_partition_that_it_has_not_scored():
    line = progress(*HALF, abandon(3, 2), ready=[1, 2, 3])
    assert [line.choose(0, at) for at in (Position(50, 1), Position(50))] == [Serve(1, None)] * 2
    assert line.choose(1, Position(50, 1)) == Serve(1, None), "its cut ends no batch any more"
    assert line.choose(1, Position(70, 1)) == Serve(1, None)


def test_what_an_abandoned_generation_has_scored_goes_to_the_new_one_as_soon_as_it_can():
    line = progress(*HALF, abandon(3, 2), ready=[1, 2])
    assert line.choose(0, Position(50, 2)) == Serve(2, None)
    advance(line, 3, GenerationState.READY)
    assert line.choose(0, Position(50, 2)) == Serve(3, None)
    assert line.choose(0, Position(60, 3)) == Serve(3, None)


def test_what_an_abandoned_generation_has_scored_goes_to_the_new_one_at_its_offset():
    line = progress(*HALF, abandon(3, 2, cut={0: 90}), ready=[1, 2])
    assert line.choose(0, Position(50, 2)) == Serve(2, 90)
    assert line.choose(0, Position(90, 2)).number == 3
    advance(line, 3, GenerationState.READY)
    assert line.choose(0, Position(90, 2)) == Serve(3, None)


def test_where_the_new_generation_fails_the_partition_stays_with_the_abandoned_one():
    line = progress(*HALF, abandon(3, 2), ready=[1, 2])
    advance(line, 3, GenerationState.FAILED)
    assert line.choose(0, Position(50, 2)) == Serve(2, None)


def test_an_abandoned_generation_that_every_partition_had_come_to_leaves_none_behind():
    line = progress(*STAGED, promote(2, is_complete=True), abandon(3, 2, to=1), ready=[1, 2, 3])
    assert line.choose(0, Position(50, 2)) == Serve(3, None)
    assert line.choose(1, Position(0)) == Serve(1, None), "it was added meanwhile, or nothing was asked of it"


def test_a_swap_after_an_abandon_is_for_every_partition():
    line = progress(*HALF, abandon(3, 2), swap(4), ready=[1, 2, 3, 4])
    assert [line.choose(0, Position(50, floor)) for floor in (0, 1, 2, 3)] == [Serve(4, None)] * 4


def test_a_second_abandon_leaves_a_partition_with_what_it_has():
    line = progress(*HALF, abandon(3, 2), abandon(4, 3), ready=[1, 2, 3, 4])
    assert [line.choose(0, Position(50, floor)) for floor in (1, 2, 3)] == [
        Serve(1, None),
        Serve(2, None),
        Serve(4, None),
    ]


@pytest.mark.parametrize("end", [(), (swap(3, is_staged=True),), (abandon(3, 2),)], ids=["newest", "followed", "gone"])
def test_a_partition_that_was_promoted_in_a_part_of_the_log_that_is_lost_stays_with_what_scored_it(end):
    line = progress(*STAGED, *end, ready=[1, 2])
    assert line.choose(0, Position(50, 2)) == Serve(2, None)
    assert line.choose(0, Position(50, 1)) == Serve(1, None)
    assert line.choose(0, Position(0)) == Serve(1, None), "its offset was reset"


def test_a_pause_holds_a_promoted_partition_too():
    line = progress(*HALF, PauseCommand(command_id="pause", is_paused=True), ready=[1, 2])
    assert isinstance(line.choose(0, Position(50, 1)), Wait)


@pytest.mark.parametrize(
    ("commands", "failed", "newest"),
    [
        ((), None, {2}),
        ((), 2, {1}),
        ((abandon(3, 2),), None, {1}),
        ((abandon(3, 2),), 1, set()),
        ((abandon(3, 2), swap(4)), None, {4}),
    ],
    ids=["staged", "staged and failed", "abandoned", "abandoned and failed before", "followed"],
)
def test_the_newest_intact_is_what_a_partition_that_is_yet_to_come_may_need(commands, failed, newest):
    line = progress(*STAGED, *commands)
    if failed:
        advance(line, failed, GenerationState.FAILED)
    assert line.newest_intact == newest
