"""A command that needs a later version holds the deployment of who reads it, and nobody stops a fleet by a number."""

import time
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest

from fakes.desk import Desk
from fakes.later import UNKNOWN, later, needing, of_unknown_kind
from hotswap.batch import Position
from hotswap.commands import command_for, encode_command
from hotswap.control import Control
from hotswap.errors import SwapError
from hotswap.generation import Model, Proto
from hotswap.metrics import REGISTRY
from hotswap.pipeline.ports import Serve, Wait
from hotswap.pipeline.states import PartitionState
from hotswap.settings import Settings
from hotswap.swap.command import MOST_VERSION, VERSION, LaterCommand, Outcome, PauseCommand, SwapCommand
from hotswap.swap.timeline import Timeline
from hotswap.trust.fold import Fold
from hotswap.v1 import control_pb2 as wire

PAUSE = PauseCommand(command_id="pause", is_paused=True)
NO_TEXT = b"\x12\x02\xff\xfe"  # of a swap's model, and no UTF-8
WHY = (
    f"offset 1 of the control topic has a command that needs version {VERSION + 1} of its contract, and version "
    f"{VERSION} is known here: upgrade it"
)


def swap(number):
    model, proto = Model("file:///m", "a" * 64), Proto.inline("p")
    return SwapCommand(command_id=f"c{number}", generation=number, model=model, proto=proto)


def folded(*values, version=VERSION):
    """A fold that has received records with these values, and its verdicts."""
    fold = Fold("d")
    fold.timeline.version = version
    records = (SimpleNamespace(offset=at, timestamp=0, value=value, headers=()) for at, value in enumerate(values))
    return fold, [found and found[1] for found in map(fold.receive, records)]


# ---- what holds, and what does not


@pytest.mark.parametrize("version", [0, 1, VERSION])
def test_a_command_that_needs_no_later_version_is_read_as_ever(version):
    assert command_for("d", later(swap(1), version)) == swap(1)


@pytest.mark.parametrize("version", [VERSION + 1, MOST_VERSION])
@pytest.mark.parametrize(
    "rest",
    [
        encode_command("d", swap(1)),
        encode_command("d", swap(1)) + UNKNOWN,
        b"\x0a\x02c1\x12\x01d" + UNKNOWN,
        b"\x0a\x02c1\x12\x01d" + b"\x1a\x04" + NO_TEXT,
    ],
    ids=["known", "known and unknown", "unknown", "no longer readable"],
)
def test_of_a_command_of_a_later_version_only_what_never_changes_is_read(rest, version):
    assert command_for("d", needing(rest, version)) == LaterCommand("c1", version)
    assert command_for("other", needing(rest, version)) is None


def test_an_id_that_is_no_text_or_too_long_is_cut_and_replaced():
    value = b"\x0a\xac\x02" + b"\xff" * 300 + b"\x12\x01d"
    assert command_for("d", needing(value)) == LaterCommand("\N{REPLACEMENT CHARACTER}" * 200, VERSION + 1)


@pytest.mark.parametrize("version", [MOST_VERSION + 1, 2**32 - 1])
def test_a_number_beyond_any_version_is_refused_by_every_version(version):
    for value in (later(swap(1), version), later(PAUSE, version)):
        with pytest.raises(SwapError, match="no version beyond 1000, ever") as refused:
            command_for("d", value)
        assert refused.value.code == "MALFORMED"
        fold = Fold("d")
        fold.timeline.version = MOST_VERSION
        with pytest.raises(SwapError, match="ever"):
            fold.receive(SimpleNamespace(offset=0, timestamp=0, value=value, headers=()))
        assert (fold.timeline.held, fold.timeline.newest, fold.timeline.is_paused) == ("", 0, False)


def test_nothing_is_folded_from_there_on():
    fold, verdicts = folded(
        encode_command("d", swap(1)),
        later(swap(2)),
        encode_command("d", swap(3)),
        encode_command("d", PAUSE),
        of_unknown_kind(),
        b"\x0a\xff",
        None,
        later(swap(4), MOST_VERSION + 1),
    )
    assert [verdict and verdict.outcome for verdict in verdicts] == [None, Outcome.HELD, *[None] * 6]
    assert (verdicts[1].command_id, verdicts[1].message) == ("c2", WHY)
    assert (fold.timeline.held, fold.timeline.newest, fold.timeline.is_paused) == (WHY, 1, False)
    assert not fold.timeline.has_seen("c2")


def test_whoever_knows_the_version_folds_it_and_goes_on():
    fold, verdicts = folded(encode_command("d", swap(1)), later(swap(2)), later(PAUSE), version=VERSION + 1)
    assert [verdict.outcome for verdict in verdicts] == [None, None, Outcome.APPLIED]
    assert (fold.timeline.held, fold.timeline.newest, fold.timeline.is_paused) == ("", 2, True)


def test_one_of_another_deployment_holds_nobody_else():
    other = later(swap(1), deployment="other"), of_unknown_kind(deployment="other")
    fold, verdicts = folded(*other, encode_command("d", swap(1)))
    assert ([*map(bool, verdicts)], fold.timeline.held, fold.timeline.newest) == ([False, False, True], "", 1)


# ---- what a worker does then


def test_no_partition_is_scored_and_a_batch_that_takes_long_is_given_up():
    desk = Desk(1).serves(1)
    progress = desk.agenda.progress
    assert progress.choose(0, Position(5)) == Serve(1, None)
    assert not progress.is_overtaken(0, Position(5), 1)
    desk.timeline.hold(LaterCommand("later", VERSION + 1), 1)
    assert progress.choose(0, Position(5)) == Wait(None, WHY)
    assert progress.is_overtaken(0, Position(5), 1)


def test_a_worker_that_has_joined_ends_its_staging_and_begins_nothing():
    desk = Desk(1).serves(1)
    desk.stands(1)
    desk.command(2)
    assert desk.turn() == ["2 STAGING", "stage 2"]
    desk.command(3)
    desk.timeline.hold(LaterCommand("later", VERSION + 1), 1)
    assert desk.turn() == []
    assert desk.ready(2) == ["2 READY", "standby h2o 2"]
    assert desk.turn() == []
    assert desk.agenda.progress.loaded == [1, 2]


def test_a_worker_that_starts_then_stages_nothing_and_takes_no_partition_from_others():
    desk = Desk(1)
    desk.timeline.hold(LaterCommand("later", VERSION + 1), 1)
    desk.restarted()
    assert desk.turn() == [f"stay out: {WHY}"]
    assert (desk.turn(), desk.agenda.lacks) == ([], WHY)


async def test_a_worker_says_so():
    now_ms = int(time.time() * 1000)
    control = Control(
        settings=Settings(deployment="d"),
        timeline=Timeline(),
        reader=SimpleNamespace(unreadable=0, damaged=""),
        writer=None,
    )
    values = encode_command("d", swap(1)), of_unknown_kind(), encode_command("d", PAUSE)
    for offset, value in enumerate(values):
        control._receive(SimpleNamespace(offset=offset, timestamp=now_ms, value=value, headers=()))
    told = [wire.Status.FromString(value).swap for _, value, _ in control._outbox]
    assert [(one.command_id, one.outcome, one.message) for one in told] == [("later", wire.OUTCOME_HELD, WHY)]
    status = control._worker_status(SimpleNamespace(loaded=(), main=0, newest_scored=0, restarts=0))
    assert (status.held, status.accepted) == (WHY, 1)
    assert b'hotswap_worker_too_old{deployment="d"} 1.0' in generate_latest(REGISTRY)


def test_a_batch_in_hand_is_unaffected():
    desk = Desk(1).serves(1)
    desk.own[0] = PartitionState(position=Position(5, 1), in_hand=1)
    desk.timeline.hold(LaterCommand("later", VERSION + 1), 1)
    assert desk.turn() == []
    assert desk.agenda.progress.loaded == [1]
