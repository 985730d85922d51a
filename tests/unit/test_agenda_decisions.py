"""A turn of the agenda decides the same when it is asked twice (Desk.turn does), and an idle one costs little."""

import pytest

from fakes.desk import Desk
from hotswap.agenda.actions import Report
from hotswap.swap.command import Outcome, PauseCommand


def test_a_turn_decides_the_same_until_its_actions_are_done():
    desk = Desk(1).restarted()
    actions = desk.agenda.turn(desk.now, desk.own)
    assert actions
    assert desk.agenda.turn(desk.now + 1, desk.own) == actions
    for action in actions:
        desk.agenda.did(action)
    assert desk.agenda.turn(desk.now + 1, desk.own) == []


def test_a_turn_without_a_change_decides_nothing_anew(monkeypatch):
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.turn()
    monkeypatch.setattr(desk.agenda.progress, "course", None)
    desk.now += 1_000
    assert desk.agenda.turn(desk.now, desk.own) == []


@pytest.mark.parametrize("change", ["a pause", "a hold", "a batch", "a swap"])
def test_a_decision_is_not_remembered_past(change):
    desk = Desk(1).serves(1)
    desk.stands(2, held="", in_hand=1) if change == "a batch" else desk.stands(1, held="")
    desk.command(2)
    assert desk.turn()[-1] == "stage 2"
    desk.ready(2)
    assert "2 SERVING" not in desk.turn()
    assert desk.turn() == [], "nothing is done, so this decision is kept"
    match change:
        case "a pause":
            desk.timeline.receive(PauseCommand(command_id="p", is_paused=True), 0)
        case "a hold":
            desk.stands(1, held="waits for the model")
        case "a batch":
            desk.stands(2, held="")
        case "a swap":
            desk.command(3)
    assert ("stage 3" if change == "a swap" else "2 SERVING") in desk.turn()


def test_a_decision_is_not_remembered_past_a_retry_that_ends_without_a_report():
    desk = Desk(1).restarted()
    desk.turn()
    desk.out_of_reach(1)
    assert desk.retried_after()
    desk.command(2)
    assert desk.turn()[0] == "cancel"
    assert desk.turn() == []
    assert desk.given_up(1) == []
    assert desk.turn() == ["2 STAGING", "stage 2"]


def test_no_outcome_is_reported_out_of_order():
    desk = Desk(1).serves(1)
    report = Report(desk.timeline.swaps[1], Outcome.READY)
    with pytest.raises(AssertionError, match="generation 1: SERVING -> READY is not a legal order"):
        desk.agenda.did(report)
