"""A worker's next actions for its generations, decided without hosts, clocks or Kafka."""

from fakes.desk import Desk
from hotswap.batch import Position
from hotswap.errors import SwapCode
from hotswap.pipeline.states import PartitionState
from hotswap.swap.command import PauseCommand

STAGED = ["1 STAGING", "stage 1"]


# ---- from one generation to the next


def test_a_generation_serves_once_ready_and_the_old_one_is_retired():
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


def test_the_phases_of_a_staging_are_reported():
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


def test_a_standby_is_kept_only_for_a_kind_that_is_loaded():
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


def test_a_swap_that_is_superseded_before_staging_begins_is_reported():
    desk = Desk(1).serves(1)
    desk.command(2)
    desk.command(3)
    assert desk.turn() == ["2 SUPERSEDED", "3 STAGING", "stage 3"]
    assert desk.turn() == []


def test_a_swap_that_waits_behind_another_is_reported_superseded_once_it_is_no_longer_needed():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 100})
    desk.command(3, cut={0: 200})
    assert desk.turn() == ["2 STAGING", "stage 2"]
    desk.command(4)
    assert desk.turn() == ["cancel", "3 SUPERSEDED"]


def test_replayed_commands_are_not_answered_again():
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


def test_a_newer_command_cancels_the_current_staging():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    assert desk.turn() == ["cancel"]
    assert desk.given_up(1) == ["1 SUPERSEDED"]
    assert desk.turn() == ["2 STAGING", "stage 2"]


def test_swaps_that_arrive_faster_than_they_can_be_staged_do_not_starve_the_worker():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.given_up(1)
    desk.turn()
    desk.command(3)
    assert desk.turn() == [], "a generation that has superseded another may finish"
    desk.ready(2)
    assert "3 STAGING" in desk.turn()
    desk.command(4)
    assert desk.turn() == ["cancel"], "after that the next one may be cancelled"


def test_a_superseded_generation_is_staged_after_all_if_the_newer_one_fails():
    desk = Desk(1)
    desk.turn()
    desk.command(2)
    desk.turn()
    desk.given_up(1)
    desk.turn()
    assert desk.failed(2, SwapCode.MODEL_INVALID) == ["2 FAILED MODEL_INVALID"]
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


def test_a_starting_worker_brings_what_is_superseded_to_its_end_if_partitions_wait_for_no_more():
    desk = returning(floors=(1, 0))
    desk.command(2)
    assert desk.turn() == ["stay out: partition 0 waits for generation 2, which is not ready on this worker"]
    desk.ready(1)
    assert desk.turn() == ["2 STAGING", "stage 2", "1 SERVING", "join"]


def test_what_is_superseded_is_cancelled_once_it_takes_long_however_often_it_is_superseded():
    desk = returning(floors=(1, 1))
    desk.command(2)
    desk.turn()
    desk.now += 5
    desk.command(3)
    assert "cancel" not in desk.turn()
    desk.now += 5
    assert desk.turn() == ["cancel"]


def test_each_superseded_staging_has_its_own_time():
    desk = returning(floors=(1, 1))
    desk.command(2)
    desk.turn()
    desk.now += 9
    desk.ready(1)
    desk.stands(1)
    desk.turn()
    desk.stands(2)
    desk.command(3)
    assert "cancel" not in desk.turn(), "partition 0, now its own, waits for generation 2"
    desk.now += 9
    assert desk.turn() == []
    desk.now += 1
    assert desk.turn() == ["cancel"]


def test_what_is_superseded_is_cancelled_at_once_if_it_would_leave_a_partition_waiting():
    desk = returning(floors=(1, 2))
    desk.command(2)
    assert desk.turn()[:1] == ["cancel"]

    desk = returning(floors=(1, 1))
    desk.command(2)
    desk.turn()
    desk.looked(Position(50, 1), Position(60, 2))
    assert desk.turn() == ["cancel"], "another worker has taken one on meanwhile"


def test_what_is_superseded_is_cancelled_at_once_if_nothing_waits():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2)
    desk.turn()
    desk.command(3)
    assert desk.turn() == ["cancel"]

    desk = returning(floors=(1, 1))
    desk.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0)
    desk.command(2)
    assert "cancel" in desk.turn(), "a pause is nothing that a generation could end"


def returning(floors):
    """Return the desk of a worker that begins to stage generation 1, where others have scored partitions before."""
    desk = Desk(1, partitions=len(floors))
    desk.looked(*(Position(50, floor) for floor in floors))
    assert desk.turn()[:2] == STAGED
    return desk


# ---- serving and retiring


def test_a_generation_with_a_batch_in_hand_is_not_retired_and_its_successor_does_not_serve_yet():
    desk = Desk(1).serves(1)
    desk.stands(1, in_hand=1)
    desk.command(2)
    desk.turn()
    desk.ready(2)
    assert desk.turn() == []
    desk.own[0].in_hand = None
    assert desk.turn() == ["2 SERVING", "retire 1", "1 RETIRED"]


def test_a_generation_serves_once_every_owned_partition_is_past_its_cut():
    desk = Desk(1, partitions=2).serves(1)
    desk.command(2, cut={0: 100, 1: 100})
    desk.turn()
    desk.ready(2)
    desk.stands(2, 100, partition=0)
    desk.stands(1, 99, partition=1)
    assert desk.turn() == []
    desk.stands(2, 100, partition=1)
    assert "2 SERVING" in desk.turn()


def test_a_generation_serves_once_every_owned_partition_has_committed_its_cut_over():
    desk = Desk(1, partitions=2).serves(1)
    for partition in (0, 1):
        desk.stands(1, partition=partition, held="")
    desk.command(2)
    desk.turn()
    desk.ready(2)
    desk.stands(2, partition=0, held="")
    assert "2 SERVING" not in desk.turn()
    desk.stands(2, partition=1, held="")
    assert desk.turn() == ["2 SERVING"]


def test_a_pause_does_not_keep_a_generation_from_serving():
    desk = Desk(1).serves(1)
    desk.stands(1, held="")  # no request waits, so nothing is held
    desk.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0)
    desk.command(2)
    desk.turn()
    desk.ready(2)
    assert "2 SERVING" in desk.turn()


def test_a_partition_that_awaits_a_newer_generation_does_not_keep_an_older_one_from_serving():
    desk = Desk(1).serves(1)
    desk.stands(1, held="")
    desk.command(2)
    desk.turn()
    desk.command(3, cut={0: 50})
    desk.ready(2)
    assert "2 SERVING" in desk.turn()


def test_a_partition_that_is_being_opened_does_not_keep_a_generation_from_serving():
    desk = Desk(1).serves(1)
    desk.own[0] = PartitionState()
    desk.command(2)
    desk.turn()
    desk.ready(2)
    assert "2 SERVING" in desk.turn()


def test_a_partition_that_is_held_does_not_keep_a_generation_from_serving():
    desk = Desk(1).serves(1)
    desk.stands(1, held="paused by command")
    desk.command(2)
    desk.turn()
    desk.ready(2)
    assert "2 SERVING" in desk.turn()


def test_a_generation_below_a_partitions_floor_does_not_serve():
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


def test_nothing_is_retired_while_a_successor_is_staged_or_during_a_pause():
    desk = Desk(1).serves(1)
    desk.command(2)
    assert "retire 1" not in desk.turn()
    desk.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0)
    desk.ready(2)
    assert "retire 1" not in desk.turn()
    desk.timeline.receive(PauseCommand(command_id="q", is_paused=False), 0)
    assert "retire 1" in desk.turn()


def test_a_retired_generation_is_staged_again_after_an_offset_reset():
    desk = Desk(1).serves(1)
    desk.command(2, cut={0: 10})
    desk.stands(1, 10)
    desk.turn()
    desk.ready(2)
    assert "retire 1" in desk.turn()
    desk.stands(0, 5)
    assert desk.turn() == STAGED
