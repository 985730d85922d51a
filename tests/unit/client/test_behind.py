"""What holds up a generation before its cut, as the workers report it."""

from dataclasses import replace

import pytest

from hotswap.client.behind import Behind
from hotswap.client.change import Receipt
from hotswap.client.fleet import FRESH_S, Fleet, PartitionView, Told, WorkerView
from hotswap.swap.command import Outcome

NOW = 1_000.0
RECEIPT = Receipt("c3", 3, {0: 50, 1: 60}, 120.0)
VIEW = WorkerView(
    worker="w1",
    at=NOW,
    generation=3,
    accepted=3,
    loaded=(2, 3),
    model_sha256="",
    proto_sha256="",
    partitions=(PartitionView(0, 50, 3, 0, ""), PartitionView(1, 20, 2, 40, "")),
    is_paused=False,
    is_stopped=False,
    paths={},
)
SLOW = replace(VIEW, partitions=(PartitionView(1, 20, 2, 40, "waits", model_s=12.4),))
READY = Told(
    command_id="c3", generation=3, worker="w1", outcome=Outcome.READY, code="", message="", at=NOW, phase_seconds={}
)
TOLD = (
    "w1 has 40 requests before the cut of generation 3, and its model has had a batch for 12 s. `--at-once` would not "
    "wait for these requests, but have the new generation score them: `hotswap rollback d --to 3 --at-once`"
)


def held_up(*views, told=READY, receipt=RECEIPT):
    """Return what is told after each report of the worker."""
    behind, fleet = Behind("d", receipt), Fleet("d", told={"c3": {"w1": told}})
    lines = []
    for view in views:
        fleet.workers["w1"] = view
        lines.append(behind.look(fleet, NOW))
    return lines


def test_a_model_that_keeps_a_batch_before_the_cut_is_told_once_with_the_command_that_would_not_wait():
    assert held_up(VIEW, SLOW, SLOW) == ["", TOLD, ""]


def test_a_host_that_dies_again_and_again_before_the_cut_is_told_by_the_restarts_since_the_command():
    again = [replace(VIEW, host_restarts=number) for number in (7, 8, 9, 10)]
    lines = held_up(*again)
    assert lines[:3] == ["", "", ""]
    assert "40 requests before the cut of generation 3, and its model host was restarted 3 times" in lines[3]


@pytest.mark.parametrize(
    ("views", "given"),
    [
        ([replace(SLOW, partitions=(PartitionView(1, 60, 2, 0, "waits", model_s=12.4),))], {}),
        ([SLOW], {"receipt": replace(RECEIPT, cut={})}),
        ([SLOW], {"told": replace(READY, outcome=Outcome.STAGING)}),
        ([SLOW], {"told": replace(READY, outcome=Outcome.SERVING)}),
        ([replace(SLOW, at=NOW - FRESH_S - 1)], {}),
        ([VIEW, replace(VIEW, partitions=VIEW.partitions[:1], host_restarts=9)], {}),
    ],
    ids=["past the cut", "no cut", "not ready", "serves", "dead", "dies past the cut"],
)
def test_nothing_is_told_where_at_once_would_gain_nothing(views, given):
    assert not any(held_up(*views, **given))
