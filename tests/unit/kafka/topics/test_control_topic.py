"""Which control topic a deployment follows, by what exists; and the deployments that are found in both kinds."""

import pytest

from fakes.command_line import hotswap
from fakes.kafka_logs import FakeAdmin, FakeCluster, FakeReader, FakeWorker
from hotswap.client.client import Client
from hotswap.client.deployments import deployments
from hotswap.commands import encode_command
from hotswap.errors import Denied, StartError
from hotswap.generation import Model, Proto
from hotswap.kafka.topics.control_topic import SHARED, addressee, settled
from hotswap.settings import Settings
from hotswap.swap.command import PauseCommand, ShadowCommand, SwapCommand
from hotswap.swap.sample import Shadowed
from hotswap.v1 import control_pb2 as wire

PAUSE = PauseCommand(command_id="p", is_paused=True)
CUT = wire.CommandAddress(deployment="d").SerializeToString() + b"\x1a\x01\xff"
"""Tells whose command it is, and has no swap that can be read."""


@pytest.fixture
def nothing(monkeypatch):
    """A cluster without topics."""
    return FakeCluster().install(monkeypatch)


@pytest.fixture
def put(nothing):
    def topic(name, *deployments):
        nothing.topics[name] = [[]]
        for one in deployments:
            nothing.append(name, encode_command(one, PAUSE))

    return topic


async def followed(settings):
    return (await settled(settings)).topics.control


async def test_a_new_deployment_has_a_topic_of_its_own_even_before_it_exists(put, settings):
    assert await followed(settings) == "d.control"
    put(SHARED, "e")
    assert await followed(settings) == "d.control"
    put("d.control")
    assert await followed(settings) == "d.control"


async def test_a_history_in_the_shared_topic_is_followed_there(put, settings):
    put(SHARED, "e", "d", "e")
    assert await followed(settings) == SHARED


async def test_a_topic_of_its_own_that_has_begun_is_followed_whatever_is_written_to_the_shared_one(put, settings):
    put("d.control", "d")
    put(SHARED, "d")
    assert await followed(settings) == "d.control"


async def test_nobody_guesses_between_an_empty_topic_of_its_own_and_a_history_in_the_shared_one(put, settings):
    put("d.control")
    put(SHARED, "d")
    with pytest.raises(StartError, match=r"topic d.control is empty, and hotswap.control has commands for d: delete"):
        await settled(settings)
    named = settings.model_copy(update={"control_topic": SHARED})
    assert await followed(named) == SHARED


async def test_what_the_settings_name_is_followed_without_asking_kafka(settings):
    named = settings.model_copy(update={"control_topic": "elsewhere", "requests_topic": "there"})
    assert await settled(named) is named


SHADOW = ShadowCommand(command_id="s", shadowed=Shadowed("churn", "churn.requests"))
SWAP = SwapCommand(command_id="c", generation=1, model=Model("file:///m", "a" * 64), proto=Proto.inline("x"))


@pytest.mark.parametrize("at_once", [1, 1_000])
async def test_a_shadow_has_the_requests_that_its_log_says(put, nothing, settings, at_once):
    nothing.at_once = at_once
    put("d.control", "stranger", "d")
    nothing.append("d.control", b"\xff")
    nothing.append("d.control", encode_command("d", SHADOW))
    assert (await settled(settings)).topics.requests == "churn.requests"
    named = settings.model_copy(update={"requests_topic": "there"})
    assert (await settled(named)).topics.requests == "there"
    put("d.requests")
    assert (await settled(settings)).topics.requests == "d.requests"


@pytest.mark.parametrize("first", [None, SWAP])
async def test_a_deployment_whose_log_says_nothing_of_a_shadow_before_its_first_swap_is_none(
    put, nothing, settings, first
):
    put("d.control", "d")
    if first:
        nothing.append("d.control", encode_command("d", first))
        nothing.append("d.control", encode_command("d", SHADOW))
    nothing.append("d.control", CUT)
    assert (await settled(settings)).topics.requests == "d.requests"


async def test_in_a_log_that_is_named_a_shadow_is_found_too(put, nothing, settings):
    put("elsewhere", "other")
    nothing.append("elsewhere", encode_command("d", SHADOW))
    own = await settled(settings.model_copy(update={"control_topic": "elsewhere"}))
    assert (own.topics.control, own.topics.requests) == ("elsewhere", "churn.requests")


async def test_a_deployment_whose_own_topic_is_the_shared_one_by_its_name_just_follows_it(put):
    put(SHARED)
    assert await followed(Settings(deployment="hotswap")) == SHARED


async def test_without_a_right_to_read_the_shared_topic_only_a_topic_of_its_own_is_followed(put, settings, monkeypatch):
    async def denied(self, *_, **__):
        raise Denied("lacks the right Read of topic hotswap.control")

    put(SHARED, "d")
    monkeypatch.setattr(FakeReader, "start", denied)
    with pytest.raises(Denied, match="Read of topic hotswap"):
        await settled(settings)
    put("d.control")
    assert await followed(settings) == "d.control"


async def test_a_topic_that_may_not_be_seen_is_as_one_that_is_not_there(put, settings, monkeypatch):
    async def denied(self, topics):
        raise Denied("lacks the right Read")

    put(SHARED, "d")
    monkeypatch.setattr(FakeAdmin, "counts", denied)
    assert await followed(settings) == "d.control"


def test_what_is_no_command_is_for_nobody():
    assert [addressee(value) for value in (None, b"\xff\xff", encode_command("d", PAUSE))] == ["", "", "d"]


async def test_commands_and_their_readers_go_where_the_history_is(put, nothing, settings):
    nothing.create(settings)
    del nothing.topics["d.control"]
    put(SHARED, "d")
    FakeWorker(nothing, settings.model_copy(update={"control_topic": SHARED}))
    async with Client(settings) as client:
        await client.resume()
        assert len(nothing.topics[SHARED][0]) == 2
        assert [view.title for view in (await client.status()).commands] == ["pause", "resume"]


def test_the_rights_are_those_of_the_topic_that_is_followed(put):
    put(SHARED, "d")
    told = hotswap("acls", "d", "--principal", "User:w", "--role", "control")
    assert f"--topic {SHARED}" in told.stdout
    assert told.stderr == ""


def test_where_kafka_cannot_tell_the_rights_are_those_of_its_own_topic_and_that_is_said(put):
    put("d.control")
    put(SHARED, "d")
    told = hotswap("acls", "d", "--principal", "User:w", "--role", "control")
    assert "--topic d.control" in told.stdout
    assert (
        "assuming the control topic d.control, since Kafka could not be read: topic d.control is empty" in told.stderr
    )


async def test_the_deployments_of_both_kinds_are_found(put, nothing, settings):
    put(SHARED, "old")
    put(settings.topics.status)
    for one in ("new", "killed"):
        put(f"{one}.control", one)
    put("fresh.control")
    put("engine.control", "somebody", "engine")  # a stranger's: its first records have no command for `engine`
    nothing.at_once = 1
    put("odd.requests")
    assert await deployments(Settings()) == ["killed", "new", "old"]
    assert await deployments(Settings(control_topic="new.control")) == ["new"]
