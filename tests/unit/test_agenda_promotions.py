"""A worker's next actions for generations that are staged, promoted and abandoned."""

import pytest

from fakes.desk import Desk
from hotswap.agenda.progress import GenerationState
from hotswap.batch import Position
from hotswap.pipeline.ports import Serve
from hotswap.swap.command import PauseCommand

STAGE_2, STAGE_3 = ["2 STAGING", "stage 2"], ["3 STAGING", "stage 3"]


def canary(partitions=2):
    """Return the desk of a worker on whose partitions generation 1 serves and 2 is staged, ready and not promoted."""
    desk = Desk(1, partitions=partitions).serves(1)
    for partition in range(partitions):
        desk.stands(1, partition=partition, held="")
    desk.command(2, is_staged=True)
    assert desk.turn() == STAGE_2
    assert desk.ready(2) == ["2 READY", "standby h2o 2"]
    assert desk.turn() == []
    return desk


def half():
    """Return the same after a promote of partition 0, which is past its cut."""
    desk = canary()
    desk.promote(2, {0: 60})
    desk.stands(2, 60, partition=0, held="")
    assert desk.turn() == []
    return desk


def loaded(desk):
    return desk.agenda.progress.loaded


# ---- staged


def test_a_staged_generation_is_loaded_beside_the_one_that_serves_and_says_nothing_of_serving():
    desk = canary()
    assert loaded(desk) == [1, 2]
    assert desk.agenda.main(desk.own) == 1


def test_a_staged_generation_stays_loaded_where_nobody_promotes_it():
    desk = canary()
    for _ in range(50):
        desk.now += 3_600
        desk.looked(Position(50, 1), Position(50, 1))
        assert desk.turn() == []
    assert loaded(desk) == [1, 2]


def test_a_starting_worker_stages_both_before_it_joins_or_joins_once_it_can_score_every_partition():
    desk = Desk(1)
    desk.command(2, is_staged=True)
    desk.restarted()
    desk.looked(Position(50, 1))
    assert desk.turn()[:2] == ["1 STAGING", "stage 1"]
    desk.ready(1)
    assert desk.turn() == [*STAGE_2, "1 SERVING", "join"]


def test_a_staged_generation_that_fails_is_let_be_and_a_promote_does_not_change_that():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2, is_staged=True)
    desk.turn()
    assert desk.failed(2) == ["2 FAILED CACHE_FAILED", "standby h2o 1"]
    desk.promote(2, is_complete=True)
    assert desk.retried_after() == 0
    assert desk.agenda.progress.choose(0, Position(50, 1)) == Serve(1, None)


def test_a_staged_generation_that_failed_here_is_tried_again_once_another_worker_has_scored_with_it():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2, is_staged=True)
    desk.turn()
    desk.failed(2)
    desk.promote(2, {0: 0})
    desk.stands(2)
    assert desk.retried_after() == 5


def test_a_newer_swap_supersedes_a_staged_one_that_is_being_loaded():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2, is_staged=True)
    desk.turn()
    desk.command(3, is_staged=True)
    assert desk.turn() == ["cancel"]
    assert desk.given_up(2) == ["2 SUPERSEDED", "standby h2o 1"]
    assert desk.turn() == STAGE_3


def test_a_newer_staged_one_takes_the_place_of_a_staged_one():
    desk = canary()
    desk.command(3, is_staged=True)
    assert desk.turn() == [*STAGE_3, "retire 2", "2 RETIRED"]
    desk.ready(3)
    assert (desk.turn(), loaded(desk)) == ([], [1, 3])


# ---- promoted


def test_a_promote_is_seen_at_the_next_turn_and_serving_is_said_once_each_partition_has_cut_over():
    desk = canary()
    desk.promote(2, {0: 60})
    assert desk.turn() == []
    desk.stands(2, 60, partition=0, held="")
    assert desk.turn() == [], "partition 1 may never come to it"
    desk.promote(2, is_complete=True)
    assert desk.turn() == ["retire 1", "1 RETIRED"]
    desk.stands(2, 60, partition=1, held="")
    assert desk.turn() == ["2 SERVING"]


def test_a_decision_is_not_remembered_past_a_promote():
    desk = half()
    assert desk.agenda.turn(desk.now, desk.own) == []
    desk.promote(2, {1: 0})
    assert desk.agenda.turn(desk.now, desk.own) != []


def test_a_promote_of_each_partition_lets_serving_be_said_though_it_is_not_complete():
    desk = half()
    desk.promote(2, {1: 0})
    desk.stands(2, 60, partition=1, held="")
    assert desk.turn() == ["2 SERVING", "retire 1", "1 RETIRED"]
    assert desk.agenda.main(desk.own) == 2


def test_one_who_owns_partitions_of_both_names_the_newest_that_scores_one():
    desk = half()
    assert desk.agenda.main(desk.own) == 2
    desk.stands(1, partition=0)
    assert desk.agenda.main(desk.own) == 1
    assert Desk().agenda.main({}) == 0


def test_the_newest_is_named_that_is_for_every_partition_whatever_the_partitions_are_at():
    desk = canary()
    desk.promote(2, is_complete=True)
    assert desk.agenda.main(desk.own) == 2


def test_the_positions_of_the_others_matter_while_a_generation_is_not_whole_but_not_at_each_look():
    desk = canary()
    assert not desk.agenda.must_look(desk.now, desk.own)
    desk.now += 2
    assert desk.agenda.must_look(desk.now, desk.own)
    desk.promote(2, {0: 60})
    desk.looked(Position(50, 1), Position(50, 1))
    assert not desk.agenda.must_look(desk.now, desk.own)
    desk.now += 2
    assert desk.agenda.must_look(desk.now, desk.own)


def test_the_positions_of_the_others_do_not_matter_any_more_once_it_is_whole():
    desk = canary()
    desk.promote(2, is_complete=True)
    desk.stands(2, partition=0, held="")
    desk.stands(2, partition=1, held="")
    desk.turn()
    desk.now += 1_000
    assert not desk.agenda.must_look(desk.now, desk.own)


def test_what_is_half_promoted_stays_while_a_partition_may_need_it_after_a_newer_swap():
    desk = half()
    desk.command(3)
    assert desk.turn() == STAGE_3
    desk.ready(3)
    assert desk.turn() == ["retire 1", "1 RETIRED", "retire 2", "2 RETIRED"]
    for partition in (0, 1):
        desk.stands(3, 70, partition=partition, held="")
    assert desk.turn() == ["3 SERVING"]


def test_a_pause_hides_which_generation_serves_and_nothing_is_retired():
    desk = half()
    desk.command(3)
    desk.turn()
    desk.ready(3)
    desk.timeline.receive(PauseCommand(command_id="pause", is_paused=True), 0)
    assert [said for said in desk.turn() if "retire" in said] == []


# ---- abandoned


def test_a_staged_generation_that_is_abandoned_is_retired_and_nothing_is_loaded_in_its_place():
    desk = canary()
    desk.abandon(2)
    assert desk.turn() == ["retire 2", "2 RETIRED"]
    assert (desk.turn(), loaded(desk)) == ([], [1])
    desk.now += 1_000
    assert desk.turn() == []
    assert desk.agenda.progress.of(3) is GenerationState.ACCEPTED
    assert desk.agenda.main(desk.own) == 1


def test_an_abandon_is_answered_when_it_is_folded_and_its_generation_reports_nothing_where_it_is_not_loaded():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2, is_staged=True)
    desk.abandon(2)
    assert desk.turn() == ["2 SUPERSEDED"]
    desk.command(4)
    assert desk.turn() == ["4 STAGING", "stage 4"]


def test_an_abandon_cancels_the_staging_of_what_it_ends():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2, is_staged=True)
    desk.turn()
    desk.abandon(2)
    assert desk.turn() == ["cancel"]
    assert desk.given_up(2) == ["2 SUPERSEDED", "standby h2o 1"]
    assert desk.turn() == []


def test_what_a_half_promoted_generation_has_scored_goes_to_the_one_in_its_place():
    desk = half()
    desk.abandon(2)
    assert desk.turn() == STAGE_3
    assert desk.ready(3) == ["3 READY", "standby h2o 3"]
    assert desk.turn() == ["retire 2", "2 RETIRED"]
    desk.stands(3, 70, partition=0, held="")
    assert desk.turn() == ["3 SERVING"], "partition 1 stays with generation 1"
    assert loaded(desk) == [1, 3]
    assert desk.agenda.main(desk.own) == 3


def test_serving_is_not_said_of_what_was_abandoned():
    desk = canary()
    desk.promote(2, is_complete=True)
    for partition in (0, 1):
        desk.stands(2, 60, partition=partition, held="")
    desk.abandon(2)
    assert desk.turn() == STAGE_3
    desk.now += 1_000
    assert desk.turn() == [], "generation 1 stays for partitions yet to come"
    desk.ready(3)
    assert desk.turn() == ["retire 2", "2 RETIRED"]


def test_the_new_one_waits_for_its_offset_and_the_abandoned_one_goes_on_until_then():
    desk = half()
    desk.abandon(2, cut={0: 90})
    assert desk.turn() == STAGE_3
    desk.ready(3)
    assert desk.turn() == []
    desk.stands(2, 90, partition=0, held="")
    assert desk.turn() == ["retire 2", "2 RETIRED"]


def test_a_batch_in_the_hands_of_an_abandoned_generation_is_finished():
    desk = half()
    desk.stands(2, 60, partition=0, held="", in_hand=2)
    desk.abandon(2)
    desk.turn()
    desk.ready(3)
    assert desk.turn() == []
    desk.stands(2, 70, partition=0, held="")
    assert desk.turn() == ["retire 2", "2 RETIRED"]


@pytest.mark.parametrize("floor", [1, 2], ids=["not scored by it", "scored by it"])
def test_another_workers_partition_says_whether_the_new_one_is_needed(floor):
    desk = Desk(1, partitions=2).serves(1)
    desk.stands(1, partition=0, held="")
    desk.command(2, is_staged=True)
    desk.turn()
    desk.ready(2)
    desk.turn()
    desk.promote(2, {1: 0})
    desk.looked(Position(50, 1), Position(50, floor))
    desk.turn()
    desk.abandon(2)
    assert desk.turn() == (STAGE_3 if floor == 2 else ["retire 2", "2 RETIRED"])


def test_a_swap_after_an_abandon_takes_every_partition():
    desk = half()
    desk.abandon(2)
    desk.turn()
    desk.ready(3)
    desk.stands(3, 70, partition=0, held="")
    desk.turn()
    desk.command(4)
    assert desk.turn() == ["4 STAGING", "stage 4"]
    desk.ready(4)
    assert desk.turn() == ["retire 1", "1 RETIRED", "retire 3", "3 RETIRED"]
