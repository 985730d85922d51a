"""Which generation scores which offset, decided from the log and from what is ready on this worker."""

import pytest

from hotswap.agenda.progress import GenerationState, Progress
from hotswap.batch import Position
from hotswap.generation import Model, Proto
from hotswap.pipeline.ports import Serve, Wait
from hotswap.swap.command import Outcome, PauseCommand, RollbackCommand, SwapCommand
from hotswap.swap.timeline import Timeline

MODEL, PROTO = Model("file:///m", "a" * 64), Proto.inline("syntax = 'proto3';")


def swap(number, **parts):
    return SwapCommand(command_id=f"c{number}", generation=number, model=MODEL, proto=PROTO, **parts)


def progress(*commands, ready=()):
    line = Progress(Timeline())
    for command in commands:
        assert line.timeline.receive(command, 0).outcome is None
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
