"""What a worker does next about its generations: decided without hosts, clocks or Kafka."""

import pytest

from hotswap.agenda import Agenda, Cancel, Join, KeepStandby, Report, Retire, Stage, StayOut
from hotswap.batch import Position
from hotswap.errors import SwapError
from hotswap.generation import Model, Proto
from hotswap.pipeline.ports import PartitionState, Serve, Wait
from hotswap.progress import State
from hotswap.swap import PauseCommand, SwapCommand, Timeline

STAGED = ["1 STAGING", "stage 1"]


class Desk:
    """A worker's agenda, and what it was told to do, in words."""

    def __init__(self, *numbers, partitions=1):
        self.timeline, self.own, self.now, self.partitions = Timeline(), {}, 100.0, partitions
        self.agenda = Agenda(self.timeline, partitions=partitions)
        for number in numbers:
            self.command(number)

    def command(self, number, kind="h2o", **parts):
        model = Model(f"m{number}", "a" * 64, kind)
        command = SwapCommand(command_id=f"c{number}", generation=number, model=model, proto=Proto.inline("x"), **parts)
        assert self.timeline.receive(command, 0).outcome is None

    def stands(self, floor, offset=50, partition=0, **more):
        """A partition of this worker's own."""
        self.own[partition] = PartitionState(position=Position(offset, floor), **more)

    def looked(self, *positions):
        self.agenda.looked(dict(enumerate(positions)), self.now)

    def turn(self):
        return words(self.agenda.turn(self.now, self.own))

    def ready(self, number):
        return words(self.agenda.ready(number, {"load": 0.1}))

    def failed(self, number, code="CACHE_FAILED"):
        return words(self.agenda.failed(number, SwapError(code, "why"), self.now))

    def given_up(self, number):
        return words(self.agenda.given_up(number))

    def serves(self, *numbers):
        """Stage each of them, one after the other, to its end, on partitions that stand at their beginning."""
        self.looked(*[Position(0)] * self.partitions)
        for number in numbers:
            assert f"stage {number}" in self.turn()
            self.ready(number)
        self.turn()
        return self

    def tried_again_after(self):
        """Seconds until what has failed is staged again; 0 where it never is."""
        began = self.now
        while self.now - began < 1_000:
            self.now += 0.5
            if any(word.startswith("stage") for word in self.turn()):
                return self.now - began
        return 0


def words(actions):
    return [word for action in actions if (word := in_words(action))]


def in_words(action):
    match action:
        case Stage(swap):
            said = f"stage {swap.number}"
        case Report(swap, outcome, error):
            said = f"{swap.number} {outcome} {error.code}" if error else f"{swap.number} {outcome}"
        case Retire(number):
            said = f"retire {number}"
        case KeepStandby(generation):
            said = f"standby {generation.model.kind} {generation.number}"
        case Cancel():
            said = "cancel"
        case Join():
            said = "join"
        case StayOut(why):
            said = f"stay out: {why}" if "does not know yet" not in why else ""
    return said


# ---- from one generation to the next


def test_a_generation_serves_once_ready_and_the_old_one_goes():
    desk = Desk(1)
    desk.looked(Position(0))
    assert desk.turn() == [*STAGED, "stay out: partition 0 waits for generation 1, which is not ready on this worker"]
    assert desk.ready(1) == ["1 READY", "standby h2o 1"]
    assert desk.turn() == ["1 SERVING", "join"]
    desk.command(2)
    assert desk.turn() == ["2 STAGING", "stage 2"]
    assert desk.ready(2) == ["2 READY", "standby h2o 2"]
    assert desk.turn() == ["2 SERVING", "retire 1", "1 RETIRED"]
    assert desk.turn() == []
    assert desk.agenda.progress.loaded == [2]


def test_what_a_staging_took_is_reported():
    desk = Desk(1)
    desk.turn()
    assert desk.agenda.ready(1, {"load": 0.1})[0].phases == {"load": 0.1}


def test_one_generation_is_staged_at_a_time():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 100})
    desk.command(3, cut={0: 200})
    assert desk.turn() == ["2 STAGING", "stage 2"]
    assert desk.turn() == []
    desk.ready(2)
    assert desk.turn()[:2] == ["3 STAGING", "stage 3"]


def test_a_standby_is_kept_of_a_kind_that_is_here_and_of_no_other():
    desk = Desk()
    desk.command(1, kind="spark")
    desk.turn()
    assert desk.failed(1) == ["1 FAILED CACHE_FAILED"]
    desk.command(2, kind="java")
    desk.turn()
    assert desk.ready(2) == ["2 READY", "standby java 2"]
    desk.command(3, kind="spark")
    desk.turn()
    assert desk.failed(3) == ["3 FAILED CACHE_FAILED"]


def test_a_newer_command_at_once_makes_a_pending_one_unneeded_and_somebody_awaits_its_outcome():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.command(3)
    assert desk.turn() == ["2 SUPERSEDED", "3 STAGING", "stage 3"]
    assert desk.turn() == []


def test_a_swap_that_waits_behind_another_is_answered_once_it_is_not_needed_any_more():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 100})
    desk.command(3, cut={0: 200})
    assert desk.turn() == ["2 STAGING", "stage 2"]
    desk.command(4)
    assert desk.turn() == ["cancel", "3 SUPERSEDED"]


def test_commands_that_are_read_again_at_a_start_were_answered_long_ago():
    desk = Desk(1, 2, 3)
    desk.agenda.replayed()
    assert desk.turn() == ["3 STAGING", "stage 3"]


def test_three_generations_with_two_cuts_ahead_are_all_staged_oldest_first():
    desk = Desk()
    desk.command(1)
    desk.command(2, cut={0: 100})
    desk.command(3, cut={0: 200})
    desk.serves(1, 2, 3)
    assert desk.agenda.progress.loaded == [1, 2, 3]


# ---- superseded


def test_a_newer_command_gives_up_the_one_that_is_being_staged():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    assert desk.turn() == ["cancel"]
    assert desk.given_up(1) == ["1 SUPERSEDED"]
    assert desk.turn() == ["2 STAGING", "stage 2"]


def test_swaps_that_come_faster_than_they_can_be_staged_do_not_starve_the_worker():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.given_up(1)
    desk.turn()
    desk.command(3)
    assert desk.turn() == [], "what has superseded another is let finish"
    desk.ready(2)
    assert "3 STAGING" in desk.turn()
    desk.command(4)
    assert desk.turn() == ["cancel"], "and then the next one may be given up"


def test_a_superseded_generation_is_staged_after_all_where_the_newer_one_fails():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.given_up(1)
    desk.turn()
    assert desk.failed(2, "MODEL_INVALID") == ["2 FAILED MODEL_INVALID"]
    assert desk.turn() == STAGED


def test_after_a_failure_a_staging_may_be_superseded_again():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.given_up(1)
    desk.turn()
    desk.failed(2)
    desk.turn()
    desk.command(3)
    assert desk.turn() == ["cancel"]


# ---- serving, and letting go


def test_a_generation_with_a_batch_in_hand_is_not_let_go_and_its_successor_does_not_serve_yet():
    desk = Desk(1).serves(1)
    desk.stands(1, in_hand=1)
    desk.command(2)
    desk.turn()
    desk.ready(2)
    assert desk.turn() == []
    desk.own[0].in_hand = None
    assert desk.turn() == ["2 SERVING", "retire 1", "1 RETIRED"]


def test_a_generation_serves_once_every_partition_of_ours_is_past_its_cut():
    desk = Desk(1, partitions=2).serves(1)
    desk.command(2, cut={0: 100, 1: 100})
    desk.turn()
    desk.ready(2)
    desk.stands(2, 100, partition=0)
    desk.stands(1, 99, partition=1)
    assert desk.turn() == []
    desk.stands(2, 100, partition=1)
    assert "2 SERVING" in desk.turn()


def test_an_older_generation_than_a_partition_was_scored_with_does_not_serve():
    desk = Desk(1)
    desk.stands(2)
    desk.turn()
    desk.ready(1)
    assert "1 SERVING" not in desk.turn()
    assert desk.agenda.newest_scored(desk.own) == 2


def test_the_old_generation_stays_while_another_workers_partition_is_before_the_cut():
    desk = Desk(1).serves(1)
    desk.looked(Position(9, 1))
    desk.command(2, cut={0: 10})
    desk.turn()
    desk.ready(2)
    assert "retire 1" not in desk.turn()
    desk.looked(Position(10, 2))
    assert "retire 1" in desk.turn()


def test_nothing_is_let_go_while_a_successor_is_staged_or_during_a_pause():
    desk = Desk(1).serves(1)
    desk.command(2)
    assert "retire 1" not in desk.turn()
    desk.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0)
    desk.ready(2)
    assert "retire 1" not in desk.turn()
    desk.timeline.receive(PauseCommand(command_id="q", is_paused=False), 0)
    assert "retire 1" in desk.turn()


def test_a_retired_generation_is_staged_again_where_an_offset_was_reset():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 10})
    desk.stands(1, 10)
    desk.turn()
    desk.ready(2)
    assert "retire 1" in desk.turn()
    desk.stands(0, 5)
    assert desk.turn() == STAGED


# ---- failed


def test_a_failed_swap_leaves_what_serves_and_is_over_where_nobody_needs_it():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2)
    desk.turn()
    assert desk.failed(2, "SCHEMA_MISMATCH") == ["2 FAILED SCHEMA_MISMATCH", "standby h2o 1"]
    assert desk.tried_again_after() == 0
    assert desk.agenda.progress.choose(0, Position(50, 1)) == Serve(1, None)


def test_when_the_newest_fails_the_one_before_is_staged_so_that_all_workers_end_alike():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.command(3)
    desk.turn()
    desk.failed(3)
    assert desk.turn() == ["2 STAGING", "stage 2"]


def test_a_failed_generation_is_tried_again_where_a_partition_of_ours_may_be_scored_by_nothing_older():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.stands(2)
    desk.turn()
    for _ in range(3):
        desk.failed(2)
        assert desk.tried_again_after() == 5
    assert "2 READY" in desk.ready(2)


def test_tries_of_a_generation_that_only_others_need_grow_rarer_until_one_succeeds():
    desk = Desk(1).serves(1)
    desk.looked(Position(50, 2))
    desk.command(2)
    desk.turn()
    pauses = []
    for _ in range(6):
        desk.failed(2)
        pauses.append(desk.tried_again_after())
    assert pauses == [5, 10, 20, 40, 60, 60]


def test_after_a_success_the_tries_of_a_later_failure_come_soon_again():
    desk = Desk(1).serves(1)
    desk.looked(Position(50, 2))
    desk.command(2)
    desk.turn()
    for _ in range(3):
        desk.failed(2)
        desk.tried_again_after()
    desk.ready(2)
    desk.command(3, cut={0: 60})
    desk.turn()
    desk.ready(3)
    desk.looked(Position(60, 3))
    assert "retire 2" in desk.turn()
    desk.looked(Position(50, 2))
    assert "stage 2" in desk.turn()
    desk.failed(2)
    assert desk.tried_again_after() == 5


def test_a_failed_generation_stays_failed_while_it_is_tried_again_and_what_it_said_stands():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 10})
    desk.turn()
    desk.failed(2)
    desk.looked(Position(50, 2))
    desk.now += 10
    assert desk.turn() == ["stage 2"], "its answer was given: STAGING is not said again"
    assert desk.agenda.progress.choose(0, Position(50, 1)) == Serve(1, None)
    desk.command(3)
    assert desk.turn() == ["cancel"]
    assert desk.given_up(2) == ["standby h2o 1"]


def test_a_generation_that_rests_after_a_failure_holds_up_no_other_one():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.turn()
    desk.stands(2)
    desk.failed(2)
    desk.command(3, cut={0: 100})
    assert desk.turn() == ["3 STAGING", "stage 3"]


# ---- where the partitions of others stand


def test_kafka_is_asked_where_others_stand_until_this_worker_joins_and_no_more_than_every_two_seconds():
    desk = Desk(1)
    assert desk.agenda.must_look(desk.now, desk.own)
    desk.looked(Position(0))
    assert not desk.agenda.must_look(desk.now + 1.9, desk.own)
    assert desk.agenda.must_look(desk.now + 2, desk.own)
    desk.serves(1)
    assert not desk.agenda.must_look(desk.now + 1_000, desk.own)


def test_kafka_is_asked_at_every_turn_while_a_cut_by_offsets_is_ahead():
    desk = Desk(1).serves(1)
    desk.looked(Position(9, 1))
    desk.command(2, cut={0: 10})
    assert desk.agenda.must_look(desk.now, desk.own)
    desk.turn()
    desk.ready(2)
    assert desk.agenda.must_look(desk.now, desk.own)
    desk.looked(Position(10, 2))
    desk.turn()
    desk.turn()
    assert not desk.agenda.must_look(desk.now + 1_000, desk.own)


def test_kafka_is_asked_now_and_then_while_something_newer_than_what_serves_is_failed():
    desk = Desk(1)
    desk.looked(Position(0))
    desk.serves(1)
    desk.command(2)
    desk.turn()
    desk.failed(2)
    assert not desk.agenda.must_look(desk.now + 1.9, desk.own)
    assert desk.agenda.must_look(desk.now + 2, desk.own)


# ---- joining


def test_a_worker_does_not_join_before_it_knows_where_the_partitions_stand():
    desk = Desk(1)
    desk.turn()
    assert "does not know yet" in desk.agenda.lacks
    desk.ready(1)
    assert "join" not in desk.turn()
    desk.looked(Position(50, 1))
    assert "join" in desk.turn()
    assert desk.agenda.lacks == ""


def test_a_worker_joins_only_once_something_is_ready():
    desk = Desk()
    desk.looked(Position(0))
    assert desk.turn() == ["stay out: no generation is ready on this worker"]
    desk.command(1)
    desk.turn()
    desk.failed(1)
    assert desk.turn() == ["stay out: no generation is ready on this worker"]
    desk.command(2)
    desk.turn()
    desk.ready(2)
    assert "join" in desk.turn()


def test_why_a_worker_stays_out_is_said_once():
    desk = Desk()
    desk.looked(Position(0))
    assert (desk.turn(), desk.turn()) == (["stay out: no generation is ready on this worker"], [])


def test_a_worker_that_starts_tries_what_the_partitions_were_scored_with_last_before_it_joins():
    desk = Desk(1, 2)
    desk.command(3, cut={0: 100})
    desk.looked(Position(50, 2))
    assert "stage 2" in desk.turn()
    desk.failed(2)
    assert "stage 3" in desk.turn()
    assert "join" not in desk.turn()
    desk.ready(3)
    assert "join" in desk.turn(), "it has come as far as it can"
    assert isinstance(desk.agenda.progress.choose(0, Position(50, 2)), Wait)


def test_a_worker_whose_control_topic_was_emptied_says_what_to_do():
    desk = Desk()
    desk.looked(Position(50, 2))
    desk.turn()
    assert "hotswap swap --generation 3" in desk.agenda.lacks
    desk.command(1)
    desk.turn()
    desk.ready(1)
    assert desk.turn() == ["join"]


def test_a_worker_joins_though_swaps_come_faster_than_it_can_stage_them():
    desk = Desk(1)
    desk.looked(Position(0))
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.command(3)
    desk.ready(1)
    assert "join" in desk.turn()


@pytest.mark.parametrize("state", [State.READY, State.FAILED, State.RETIRED])
def test_an_illegal_transition_is_a_defect_and_is_not_carried_out(state):
    desk = Desk(1)
    with pytest.raises(AssertionError, match="no legal transition"):
        desk.agenda.progress.move(1, state)
    assert desk.agenda.progress.of(1) is State.ACCEPTED
