"""Who scores which offset, and what a command is worth: decided from the log alone."""

from dataclasses import replace

import pytest

from hotswap.batch import Position
from hotswap.generation import Configuration, Model, Proto, TextOptions
from hotswap.swap import Outcome, PauseCommand, RollbackCommand, Serve, State, SwapCommand, Timeline, Wait

MODEL, PROTO = Model("file:///m", "a" * 64), Proto.inline("syntax = 'proto3';")


def swap(number, **parts):
    return SwapCommand(command_id=f"c{number}", generation=number, **({"model": MODEL, "proto": PROTO} | parts))


def timeline(*commands, ready=()):
    line = Timeline()
    for command in commands:
        assert line.receive(command, 0).outcome is None
    for number in ready:
        advance(line, number, State.READY)
    return line


def advance(line, number, to):
    line.swaps[number].move(State.STAGING)
    line.swaps[number].move(to)


def test_a_command_whose_generation_is_not_greater_is_refused_with_the_next_number():
    line = timeline(swap(7))
    verdict = line.receive(replace(swap(7), command_id="another"), 0)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "STALE")
    assert "try again with 8" in verdict.message


def test_the_same_command_again_is_answered_as_duplicate_and_does_nothing():
    line = timeline(swap(1))
    assert line.receive(swap(1), 0).outcome is Outcome.DUPLICATE
    assert list(line.swaps) == [1]


def test_the_same_id_with_other_content_is_an_equivocation():
    line = timeline(swap(1))
    verdict = line.receive(replace(swap(2), command_id="c1"), 0)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "EQUIVOCATION")
    assert line.newest == 1


MARK = PauseCommand(command_id="mark", is_paused=False, rules=1)
FAR = 2**53


@pytest.mark.parametrize("number", [FAR + 2, 2**63, 2**64 - 1])
def test_a_number_that_leaves_too_few_is_refused_behind_a_mark_and_taken_in_a_log_without_one(number):
    line = timeline(swap(1), swap(number))
    assert line.newest == number
    line = timeline(swap(1))
    line.receive(MARK, 0)
    verdict = line.receive(swap(number), 0)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "OUT_OF_RANGE")
    assert line.receive(RollbackCommand(command_id="r", generation=number, to=1), 0).code == "OUT_OF_RANGE"
    assert line.newest == 1
    assert line.receive(swap(FAR + 1), 0).outcome is None


@pytest.mark.parametrize("number", [5, 2**64 - 1])
def test_a_command_that_is_marked_itself_is_held_to_the_rules_whatever_it_is_worth(number):
    line = timeline(swap(1))
    first = line.receive(swap(number, rules=1, base=0 if number == 5 else 9), 0)
    assert first.code == ("" if number == 5 else "OUT_OF_RANGE")
    assert line.receive(replace(swap(2**64 - 1), command_id="again"), 0).code == "OUT_OF_RANGE"


def test_rules_of_a_later_version_are_those_that_are_known_here():
    line = timeline(swap(1))
    line.receive(replace(MARK, rules=2**32 - 1), 0)
    assert line.receive(swap(2**64 - 1), 0).code == "OUT_OF_RANGE"


def test_what_a_log_accepted_before_its_mark_stays_and_goes_on_from_there():
    line = timeline(swap(1), swap(2**60))
    line.receive(MARK, 0)
    assert line.receive(swap(2**60 + FAR), 0).outcome is None


def test_a_partition_at_the_last_number_there_is_says_how_to_go_on():
    line = timeline(swap(1), ready=[1])
    assert "hotswap move" in line.choose(0, Position(10, floor=2**64 - 1)).why


def test_two_commands_are_the_same_exactly_where_nothing_in_them_differs():
    text = TextOptions(missing=frozenset(f"NA{n}" for n in range(40)))
    other_order = TextOptions(missing=frozenset(f"NA{n}" for n in reversed(range(40))))
    commands = [
        PauseCommand(command_id="c1", is_paused=True),
        PauseCommand(command_id="c1", is_paused=False),
        RollbackCommand(command_id="c1", generation=2, to=1),
        RollbackCommand(command_id="c1", generation=2, to=1, cut={0: 1}),
        swap(1, cut={0: 1, 1: 2}),
        swap(1, cut={1: 2, 0: 1}),
        swap(1, cut={1: 1, 0: 2}),
        swap(1, samples=(b"a", b"bc")),
        swap(1, samples=(b"ab", b"c")),
        swap(1, proto=Proto.inline(b"x")),
        swap(1, proto=Proto.inline(b"x", is_descriptor_set=True)),
        swap(1, configuration=Configuration()),
        swap(1, configuration=Configuration(text=text)),
        swap(1, configuration=Configuration(text=other_order)),
        swap(1, configuration=Configuration(columns={"a": "b', 'c"})),
        swap(1, configuration=Configuration(columns={"a": "b", "c": ""})),
        swap(1, configuration=Configuration(outputs={"a": "b', 'c"})),
        swap(1, deadline_ms=1),
        swap(1, not_after_ms=1),
    ]
    for first in commands:
        line = timeline(swap(9))
        line.receive(first, 0)
        for second in commands:
            said = line.receive(second, 0)
            assert (said.outcome is Outcome.DUPLICATE) == (first == second), (first, second)


def test_a_refused_command_stays_refused_when_it_comes_again():
    line = timeline(swap(5))
    assert line.receive(swap(3), 0).outcome is Outcome.REFUSED
    again = line.receive(swap(3), 0)
    assert (again.outcome, again.code) == (Outcome.DUPLICATE, "STALE")


def test_a_command_that_reached_the_log_after_its_not_after_is_refused_whenever_it_is_read():
    line = Timeline()
    late = line.receive(swap(1, not_after_ms=1_000), 1_001)
    assert (late.outcome, late.code) == (Outcome.REFUSED, "EXPIRED")
    assert line.receive(replace(swap(1, not_after_ms=1_000), command_id="in time"), 1_000).outcome is None


def test_parts_that_are_not_named_come_from_the_newest_accepted_generation():
    configuration = Configuration(max_batch_records=9)
    line = timeline(swap(1, configuration=configuration), swap(2, model=Model("file:///n", "b" * 64), proto=None))
    second = line.swaps[2].generation
    assert (second.model.uri, second.proto, second.configuration) == ("file:///n", PROTO, configuration)


def test_parts_come_from_the_base_that_is_named():
    line = timeline(swap(1), swap(2, model=Model("file:///garbage", "b" * 64)), swap(3, model=None, proto=None, base=1))
    assert line.swaps[3].generation.model == MODEL


def test_samples_are_not_inherited_for_they_may_be_of_another_proto():
    line = timeline(swap(1, samples=(b"one",)), swap(2, proto=None))
    assert line.swaps[2].generation.samples == ()


@pytest.mark.parametrize("missing", ["model", "proto"])
def test_a_first_generation_without_a_part_is_refused_with_its_name(missing):
    verdict = Timeline().receive(swap(1, **{missing: None}), 0)
    assert verdict.code == "INCOMPLETE"
    assert missing in verdict.message


def test_a_rollback_is_a_new_generation_with_the_old_parts():
    line = timeline(swap(1), swap(2, model=Model("file:///n", "b" * 64)))
    assert line.receive(RollbackCommand(command_id="r", generation=3, to=1), 0).outcome is None
    assert line.swaps[3].generation == replace(line.swaps[1].generation, number=3)


def test_a_rollback_to_a_generation_that_was_never_accepted_is_refused_with_those_that_were():
    line = timeline(swap(4))
    verdict = line.receive(RollbackCommand(command_id="r", generation=5, to=2), 0)
    assert verdict.code == "UNKNOWN_BASE"
    assert "accepted: 4" in verdict.message


def test_a_swap_at_once_leaves_the_field_to_the_one_before_until_it_is_ready():
    line = timeline(swap(1), swap(2), ready=[1])
    assert line.choose(0, Position(10)) == Serve(1, None)
    advance(line, 2, State.READY)
    assert line.choose(0, Position(10)) == Serve(2, None)


def test_a_cut_by_offsets_splits_the_partition_exactly_there():
    line = timeline(swap(1), swap(2, cut={0: 100, 1: 5}), ready=[1, 2])
    assert line.choose(0, Position(99)) == Serve(1, 100)
    assert line.choose(0, Position(100)) == Serve(2, None)
    assert line.choose(1, Position(4)) == Serve(1, 5)


def test_a_partition_that_was_empty_at_the_cut_waits_for_the_new_generation():
    line = timeline(swap(1), swap(2, cut={0: 0}), ready=[1])

    assert isinstance(line.choose(0, Position(0)), Wait)
    assert line.choose(1, Position(0)) == Serve(1, None)


def test_a_partition_that_the_cut_does_not_name_is_cut_at_once():
    line = timeline(swap(1), swap(2, cut={0: 100}), ready=[1, 2])
    assert line.choose(3, Position(0)) == Serve(2, None)


def test_a_partition_at_its_cut_waits_for_the_new_generation_and_is_not_scored_with_the_old_proto():
    line = timeline(swap(1), swap(2, cut={0: 100}), ready=[1])
    choice = line.choose(0, Position(100))
    assert isinstance(choice, Wait)
    assert choice.number == 2


def test_a_failed_swap_by_offsets_gives_the_partition_back_to_the_old_generation():
    line = timeline(swap(1), swap(2, cut={0: 100}), ready=[1])
    advance(line, 2, State.FAILED)
    assert line.choose(0, Position(100)) == Serve(1, None)


def test_a_partition_is_never_scored_with_an_older_generation_than_before():
    line = timeline(swap(1), swap(2), ready=[1])
    choice = line.choose(0, Position(10, floor=2))
    assert isinstance(choice, Wait)
    assert choice.number == 2


def test_a_floor_above_everything_accepted_holds_the_partition_and_says_so():
    line = timeline(swap(1), ready=[1])
    choice = line.choose(0, Position(10, floor=9))
    assert isinstance(choice, Wait)
    assert "generation 9" in choice.why


def test_a_failed_generation_is_asked_for_again_where_it_is_the_floor():
    line = timeline(swap(1), swap(2), ready=[1])
    advance(line, 2, State.FAILED)
    assert line.to_stage({0: Position(10, floor=1)}) is None
    assert line.to_stage({0: Position(10, floor=2)}) == 2


def test_three_generations_with_two_cuts_ahead_are_all_needed():
    line = timeline(swap(1), swap(2, cut={0: 100}), swap(3, cut={0: 200}), ready=[1, 2, 3])
    at = {0: Position(50, 1)}
    assert line.needed(at) == [1, 2, 3]
    assert [line.choose(0, Position(offset)) for offset in (50, 150, 250)] == [
        Serve(1, 100),
        Serve(2, 200),
        Serve(3, None),
    ]


def test_a_newer_command_at_once_makes_a_pending_one_unneeded():
    line = timeline(swap(1), swap(2), swap(3), ready=[1])
    assert line.needed({0: Position(0)}) == [3]


def test_when_the_newest_fails_the_one_before_is_staged_after_all_so_that_all_workers_end_alike():
    line = timeline(swap(1), swap(2), swap(3), ready=[1])
    advance(line, 3, State.FAILED)
    assert line.to_stage({0: Position(0)}) == 2


def test_the_old_generation_is_retired_once_no_partition_may_need_it():
    line = timeline(swap(1), swap(2, cut={0: 100, 1: 100}), ready=[1, 2])
    assert line.to_retire({0: Position(100, 1), 1: Position(99, 1)}, []) == []
    assert line.to_retire({0: Position(100, 1), 1: Position(100, 1)}, []) == [1]


def test_a_generation_with_a_batch_in_hand_is_not_retired():
    line = timeline(swap(1), swap(2), ready=[1, 2])
    assert line.to_retire({0: Position(10)}, in_hand=[1]) == []
    assert line.to_retire({0: Position(10)}, in_hand=[2]) == [1]


def test_the_serving_generation_is_not_retired_while_its_successor_is_staged():
    line = timeline(swap(1), swap(2), ready=[1])
    assert line.to_retire({0: Position(10)}, []) == []


def test_a_pause_holds_every_partition_until_a_resume():
    line = timeline(swap(1), ready=[1])
    assert line.receive(PauseCommand(command_id="p", is_paused=True), 0).outcome is Outcome.APPLIED
    assert isinstance(line.choose(0, Position(0)), Wait)
    line.receive(PauseCommand(command_id="q", is_paused=False), 0)
    assert line.choose(0, Position(0)) == Serve(1, None)


def test_two_workers_that_read_the_same_log_accept_the_same_generations_however_far_they_are():
    commands = [swap(1), swap(3), replace(swap(2), command_id="late"), swap(4, proto=None), swap(4)]
    fast, slow = Timeline(), Timeline()
    for command in commands:
        fast.receive(command, 0)
        if fast.swaps[1].state is State.ACCEPTED:
            advance(fast, 1, State.FAILED)
        slow.receive(command, 0)
    assert [swap.generation for swap in fast.swaps.values()] == [swap.generation for swap in slow.swaps.values()]
    assert list(slow.swaps) == [1, 3, 4]


def test_an_illegal_transition_is_a_defect_and_is_not_carried_out():
    line = timeline(swap(1))
    with pytest.raises(AssertionError, match="no legal transition"):
        line.swaps[1].move(State.READY)


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
def test_a_long_batch_is_overtaken_by_what_may_score_it_now_and_by_no_cut_that_lies_ahead(
    later, is_ready, is_overtaken
):
    line = timeline(swap(1), later, ready=(1, 2) if is_ready else (1,))
    assert line.is_overtaken(0, Position(5, 1), 1) is is_overtaken


def test_a_long_batch_is_overtaken_by_a_pause_until_it_ends():
    line = timeline(swap(1), ready=(1,))
    for is_paused in (True, False):
        line.receive(PauseCommand(command_id=str(is_paused), is_paused=is_paused), 0)
        assert line.is_overtaken(0, Position(5, 1), 1) is is_paused
