"""A worker's next actions after a failure or in doubt: it retries, asks Kafka, and joins when it can."""

import pytest

from fakes.desk import Desk
from hotswap.agenda.progress import GenerationState
from hotswap.batch import Position
from hotswap.errors import SwapCode, SwapError
from hotswap.pipeline.ports import Serve, Wait
from hotswap.swap.command import PauseCommand

STAGED = ["1 STAGING", "stage 1"]


# ---- failed


def test_a_failed_swap_keeps_the_serving_generation_and_is_not_retried_if_no_partition_needs_it():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2)
    desk.turn()
    assert desk.failed(2, SwapCode.SCHEMA_MISMATCH) == ["2 FAILED SCHEMA_MISMATCH", "standby h2o 1"]
    assert desk.retried_after() == 0
    assert desk.agenda.progress.choose(0, Position(50, 1)) == Serve(1, None)


def test_when_the_newest_fails_the_one_before_is_staged_so_that_all_workers_agree():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.command(3)
    desk.turn()
    desk.failed(3)
    assert desk.turn() == ["2 STAGING", "stage 2"]


def test_a_failed_generation_is_retried_while_an_owned_partition_needs_it():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.stands(2)
    desk.turn()
    for _ in range(3):
        desk.failed(2)
        assert desk.retried_after() == 5
    assert "2 READY" in desk.ready(2)


def test_retries_of_a_generation_that_only_other_workers_need_back_off_until_one_succeeds():
    desk = Desk(1).serves(1)
    desk.looked(Position(50, 2))
    desk.command(2)
    desk.turn()
    pauses = []
    for _ in range(6):
        desk.failed(2)
        pauses.append(desk.retried_after())
    assert pauses == [5, 10, 20, 40, 60, 60]


def test_a_success_resets_the_back_off():
    desk = Desk(1).serves(1)
    desk.looked(Position(50, 2))
    desk.command(2)
    desk.turn()
    for _ in range(3):
        desk.failed(2)
        desk.retried_after()
    desk.ready(2)
    desk.command(3, cut={0: 60})
    desk.turn()
    desk.ready(3)
    desk.looked(Position(60, 3))
    assert "retire 2" in desk.turn()
    desk.looked(Position(50, 2))
    assert "stage 2" in desk.turn()
    desk.failed(2)
    assert desk.retried_after() == 5


def test_a_failed_generation_stays_failed_while_it_is_retried_and_reports_nothing_new():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 10})
    desk.turn()
    desk.failed(2)
    desk.looked(Position(50, 2))
    desk.now += 10
    assert desk.turn() == ["stage 2"], "its outcome was reported: STAGING is not repeated"
    assert desk.agenda.progress.choose(0, Position(50, 1)) == Serve(1, None)
    desk.command(3)
    assert desk.turn() == ["cancel"]
    assert desk.given_up(2) == ["standby h2o 1"]


def test_a_generation_that_backs_off_does_not_block_the_others():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.turn()
    desk.stands(2)
    desk.failed(2)
    desk.command(3, cut={0: 100})
    assert desk.turn() == ["3 STAGING", "stage 3"]


# ---- out of reach at the start


def test_what_cannot_be_fetched_at_a_start_is_tried_again_until_it_can_though_it_has_answered_nothing():
    desk = Desk(1).restarted()
    desk.turn()
    (report,) = desk.agenda.failed(1, SwapError(SwapCode.ARTIFACT_UNREACHABLE, "gone"), desk.now, is_out_of_reach=True)
    assert report.error.message.startswith("gone; this worker tries again until it can be fetched")
    assert desk.agenda.is_tried_again(1)
    pauses = [desk.retried_after()]
    for _ in range(5):
        assert desk.out_of_reach(1) == [], "its outcome was reported"
        pauses.append(desk.retried_after())
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert desk.ready(1)[0] == "1 READY"
    assert desk.turn() == ["1 SERVING", "join"]
    assert not desk.agenda.is_tried_again(1)


def test_a_try_that_fails_for_another_reason_is_reported_and_the_last_one():
    desk = Desk(1).restarted()
    desk.turn()
    desk.out_of_reach(1)
    assert desk.retried_after() == 5
    assert desk.failed(1, SwapCode.DIGEST_MISMATCH) == ["1 FAILED DIGEST_MISMATCH"]
    assert desk.retried_after() == 0


def test_a_new_swap_that_cannot_be_fetched_has_failed_and_is_not_tried_again():
    desk = Desk(1).restarted().serves(1)
    desk.command(2)
    desk.turn()
    assert desk.out_of_reach(2) == ["2 FAILED ARTIFACT_UNREACHABLE", "standby h2o 1"]
    assert not desk.agenda.is_tried_again(2)
    assert desk.retried_after() == 0


def test_an_older_generation_serves_while_a_newer_one_is_out_of_reach():
    desk = Desk(1, 2).restarted()
    assert "stage 2" in desk.turn()
    desk.out_of_reach(2)
    desk.now += 5
    assert "stage 1" in desk.turn()
    desk.ready(1)
    assert desk.agenda.progress.choose(0, Position(50, 1)) == Serve(1, None)
    assert desk.turn() == ["stage 2", "1 SERVING", "join"], "its outcome was reported: STAGING is not repeated"
    assert "2 READY" in desk.ready(2)


def test_of_those_out_of_reach_the_newest_is_tried_first_and_the_others_no_more_once_it_is_ready():
    desk = Desk(1, 2, 3).restarted()
    for number in (3, 2, 1):
        assert f"stage {number}" in desk.turn()
        desk.out_of_reach(number)
    desk.now += 5
    assert "stage 3" in desk.turn()
    desk.out_of_reach(3)
    assert "stage 2" in desk.turn()
    desk.ready(2)
    assert desk.retried_after() == 10
    desk.ready(3)
    assert desk.retried_after() == 0
    assert desk.agenda.progress.loaded == [3]


def test_a_newer_command_ends_the_tries_of_what_is_out_of_reach():
    desk = Desk(1).restarted()
    desk.turn()
    desk.out_of_reach(1)
    desk.now += 5
    assert "stage 1" in desk.turn()
    desk.command(2)
    assert desk.turn()[0] == "cancel"
    desk.given_up(1)
    assert "stage 2" in desk.turn()
    desk.ready(2)
    assert desk.retried_after() == 0


# ---- positions of other workers' partitions


def test_committed_positions_are_fetched_until_this_worker_joins_at_most_every_two_seconds():
    desk = Desk(1)
    assert desk.agenda.must_look(desk.now, desk.own)
    desk.looked(Position(0))
    assert not desk.agenda.must_look(desk.now + 1.9, desk.own)
    assert desk.agenda.must_look(desk.now + 2, desk.own)
    desk.serves(1)
    assert not desk.agenda.must_look(desk.now + 1_000, desk.own)


def test_committed_positions_are_fetched_at_every_turn_while_a_cut_by_offsets_is_ahead():
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


def test_committed_positions_are_fetched_now_and_then_while_a_newer_generation_than_the_serving_one_is_failed():
    desk = Desk(1)
    desk.looked(Position(0))
    desk.serves(1)
    desk.command(2)
    desk.turn()
    desk.failed(2)
    assert not desk.agenda.must_look(desk.now + 1.9, desk.own)
    assert desk.agenda.must_look(desk.now + 2, desk.own)


# ---- joining


def test_a_worker_does_not_join_before_it_knows_the_partitions_positions():
    desk = Desk(1)
    desk.turn()
    assert "does not know the partitions' positions" in desk.agenda.lacks
    desk.ready(1)
    assert "join" not in desk.turn()
    desk.looked(Position(50, 1))
    assert "join" in desk.turn()
    assert desk.agenda.lacks == ""


def test_a_worker_joins_only_once_a_generation_is_ready():
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


def test_why_a_worker_does_not_join_is_reported_once():
    desk = Desk()
    desk.looked(Position(0))
    assert (desk.turn(), desk.turn()) == (["stay out: no generation is ready on this worker"], [])


def test_a_starting_worker_stages_the_partitions_floors_before_it_joins():
    desk = Desk(1, 2)
    desk.command(3, cut={0: 100})
    desk.looked(Position(50, 2))
    assert "stage 2" in desk.turn()
    desk.failed(2)
    assert "stage 3" in desk.turn()
    assert "join" not in desk.turn()
    desk.ready(3)
    assert "join" in desk.turn(), "it has staged all it can"
    assert isinstance(desk.agenda.progress.choose(0, Position(50, 2)), Wait)


def without_the_kind(*positions):
    """Return a starting worker that cannot load generation 2, as its installation lacks the kind."""
    desk = Desk(1, 2, partitions=len(positions))
    desk.looked(*positions)
    assert "stage 2" in desk.turn()
    desk.failed(2, SwapCode.KIND_MISSING, "x is not installed here")
    assert "stage 1" in desk.turn()
    desk.ready(1)
    return desk


def test_a_worker_whose_installation_lacks_the_kind_of_a_partitions_generation_does_not_join_and_says_why():
    desk = without_the_kind(Position(50, 1), Position(50, 2))
    assert desk.turn() == []
    why = "partition 1 was last scored by generation 2, which it cannot load: x is not installed here"
    assert desk.agenda.lacks == why
    desk.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0)
    assert "join" not in desk.turn(), "after a resume it would hold the partition"
    for _ in range(3):
        assert desk.retried_after() > 0
        desk.failed(2, SwapCode.KIND_MISSING, "x is not installed here")
        assert "join" not in desk.turn()


def test_a_worker_that_lacks_a_kind_joins_once_the_extra_is_installed():
    desk = without_the_kind(Position(50, 2))
    desk.turn()
    assert desk.retried_after()
    desk.ready(2)
    assert "join" in desk.turn()


def test_a_worker_that_lacks_a_kind_joins_once_a_newer_generation_takes_every_partition():
    desk = without_the_kind(Position(50, 2))
    desk.turn()
    desk.command(3, cut={0: 60})
    desk.turn()
    desk.ready(3)
    assert "join" not in desk.turn(), "the requests before the cut are generation 2's"
    desk.looked(Position(60, 2))
    assert "join" in desk.turn()


def test_a_worker_joins_though_it_lacks_the_kind_of_a_generation_that_has_scored_nothing():
    assert "join" in without_the_kind(Position(50, 1)).turn()


def test_a_worker_that_fails_for_another_reason_than_the_kind_joins_when_it_has_staged_all_it_can():
    desk = without_the_kind(Position(50, 2))
    desk.turn()
    assert desk.retried_after()
    desk.failed(2, SwapCode.CACHE_FAILED)
    assert "join" in desk.turn()


def test_a_worker_whose_control_topic_was_emptied_says_what_to_do():
    desk = Desk()
    desk.looked(Position(50, 2))
    desk.turn()
    assert "hotswap swap --generation 3" in desk.agenda.lacks
    desk.command(1)
    desk.turn()
    desk.ready(1)
    assert desk.turn() == ["join"]


def test_a_worker_joins_even_if_swaps_arrive_faster_than_it_can_stage_them():
    desk = Desk(1)
    desk.looked(Position(0))
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.command(3)
    desk.ready(1)
    assert "join" in desk.turn()


@pytest.mark.parametrize("state", [GenerationState.READY, GenerationState.FAILED, GenerationState.RETIRED])
def test_an_illegal_transition_raises_and_changes_nothing(state):
    desk = Desk(1)
    with pytest.raises(AssertionError, match="not a legal transition"):
        desk.agenda.progress.move(1, state)
    assert desk.agenda.progress.of(1) is GenerationState.ACCEPTED
