"""The verdict on a command, decided from the log alone."""

from dataclasses import replace

import pytest

from hotswap.generation import Configuration, Model, Proto, TextOptions
from hotswap.swap.command import Outcome, PauseCommand, RollbackCommand, SkipCommand, SwapCommand, out_of_reach
from hotswap.swap.timeline import Timeline

MODEL, PROTO = Model("file:///m", "a" * 64), Proto.inline("syntax = 'proto3';")


def swap(number, **parts):
    return SwapCommand(command_id=f"c{number}", generation=number, **({"model": MODEL, "proto": PROTO} | parts))


def timeline(*commands):
    line = Timeline()
    for command in commands:
        assert line.receive(command, 0).outcome is None
    return line


def test_a_command_whose_generation_is_not_greater_is_refused_with_the_next_number():
    line = timeline(swap(7))
    verdict = line.receive(replace(swap(7), command_id="another"), 0)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "STALE")
    assert "try again with 8" in verdict.message


def test_a_repeated_command_is_a_duplicate_and_does_nothing():
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
def test_a_number_that_leaves_too_few_is_refused_after_a_mark_and_accepted_in_a_log_without_one(number):
    line = timeline(swap(1), swap(number))
    assert line.newest == number
    assert line.highest == min(number + FAR, 2**64 - 1)
    line = timeline(swap(1))
    line.receive(MARK, 0)
    verdict = line.receive(swap(number), 0)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "OUT_OF_RANGE")
    assert line.receive(RollbackCommand(command_id="r", generation=number, to=1), 0).code == "OUT_OF_RANGE"
    assert line.newest == 1
    assert line.receive(swap(FAR + 1), 0).outcome is None


@pytest.mark.parametrize("number", [5, 2**64 - 1])
def test_a_marked_command_itself_is_held_to_the_rules_whatever_its_verdict(number):
    line = timeline(swap(1))
    first = line.receive(swap(number, rules=1, base=0 if number == 5 else 9), 0)
    assert first.code == ("" if number == 5 else "OUT_OF_RANGE")
    assert line.receive(replace(swap(2**64 - 1), command_id="again"), 0).code == "OUT_OF_RANGE"


def test_rules_of_a_later_version_are_applied_as_far_as_they_are_known():
    line = timeline(swap(1))
    line.receive(replace(MARK, rules=2**32 - 1), 0)
    assert line.receive(swap(2**64 - 1), 0).code == "OUT_OF_RANGE"


def test_after_a_mark_the_limit_counts_from_what_the_log_accepted_before_it():
    line = timeline(swap(1), swap(2**60))
    line.receive(MARK, 0)
    assert line.receive(swap(2**60 + FAR), 0).outcome is None


def test_after_the_highest_number_a_deployment_has_to_move():
    assert "generation 18446744073709551615 has the last possible number" in out_of_reach(2**64, 2**64 - 1)
    assert "hotswap move" in out_of_reach(2**64, 2**64 - 1)


def test_two_commands_are_equal_only_if_nothing_in_them_differs():
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


def test_a_repeated_refused_command_stays_refused():
    line = timeline(swap(5))
    assert line.receive(swap(3), 0).outcome is Outcome.REFUSED
    again = line.receive(swap(3), 0)
    assert (again.outcome, again.code) == (Outcome.DUPLICATE, "STALE")


def test_a_command_that_reached_the_log_after_its_not_after_is_refused_whenever_it_is_folded():
    line = Timeline()
    late = line.receive(swap(1, not_after_ms=1_000), 1_001)
    assert (late.outcome, late.code) == (Outcome.REFUSED, "EXPIRED")
    assert line.receive(replace(swap(1, not_after_ms=1_000), command_id="in time"), 1_000).outcome is None


def test_missing_parts_are_inherited_from_the_newest_accepted_generation():
    configuration = Configuration(max_batch_records=9)
    line = timeline(swap(1, configuration=configuration), swap(2, model=Model("file:///n", "b" * 64), proto=None))
    second = line.swaps[2].generation
    assert (second.model.uri, second.proto, second.configuration) == ("file:///n", PROTO, configuration)


def test_missing_parts_are_inherited_from_the_named_base():
    line = timeline(swap(1), swap(2, model=Model("file:///garbage", "b" * 64)), swap(3, model=None, proto=None, base=1))
    assert line.swaps[3].generation.model == MODEL


def test_samples_are_not_inherited_because_they_may_need_another_proto():
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


def test_two_workers_that_read_the_same_log_accept_the_same_generations():
    commands = [swap(1), swap(3), replace(swap(2), command_id="late"), swap(4, proto=None), swap(4)]
    one, other = Timeline(), Timeline()
    for command in commands:
        one.receive(command, 0)
    for command in commands:
        other.receive(command, 1)
    assert one.swaps == other.swaps
    assert list(one.swaps) == [1, 3, 4]


def test_a_command_without_an_id_is_refused_and_changes_nothing():
    line = Timeline()
    verdict = line.receive(replace(swap(1), command_id=""), 0)
    assert (verdict.outcome, verdict.code) == (Outcome.REFUSED, "MALFORMED")
    assert line.newest == 0


def test_a_skip_is_applied_to_its_partition_and_offset_alone():
    line = Timeline()
    assert line.receive(SkipCommand(command_id="s", partition=3, offset=7), 0).outcome is Outcome.APPLIED
    assert line.skips == {(3, 7): "s"}
