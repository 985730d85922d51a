"""A command for a deployment that is not there, and forgetting one that never was."""

import json

import pytest

from fakes.command_line import hotswap, one_line
from fakes.kafka_logs import FakeWorker
from hotswap.kafka.topics.control_topic import SHARED
from hotswap.v1 import control_pb2 as wire

NOT_SHOWN = "deployment 'e' cannot be shown: topic e.requests does not exist. To hide it: `hotswap forget e`\n"


def shown(code=0):
    result = hotswap("status", "--json", code=code)
    return [view["deployment"] for view in json.loads(result.stdout)], result.stderr


def test_no_command_is_written_for_a_deployment_without_topics(cluster, settings, files):
    for words in (["swap", "e", "--model", "model.zip", "--proto", "frame.proto"], ["pause", "e"], ["rollback", "e"]):
        assert "topic e.requests does not exist" in one_line(hotswap(*words, code=3))
    assert cluster.topics[settings.topics.control] == [[]]
    assert not (files / "store").exists()


@pytest.fixture
def shared(cluster):
    return cluster.topics.setdefault(SHARED, [[]]) and SHARED


def test_status_shows_what_it_can_names_what_it_cannot_and_that_can_be_forgotten(cluster, settings, shared):
    FakeWorker(cluster, settings).speak(generation=1)
    typed = wire.Command(deployment="e", command_id="1", pause=wire.Pause()).SerializeToString()
    cluster.append(shared, typed)
    assert shown() == (
        ["d"],
        "deployment 'e' cannot be shown: topic e.requests does not exist. To hide it: `hotswap forget e`\n",
    )

    hotswap("forget", "e")
    assert shown() == (["d"], "")

    cluster.append(shared, typed)
    assert "'e' cannot be shown" in shown()[1]


def test_a_deployment_with_live_workers_or_answers_is_not_forgotten(cluster, settings, monkeypatch):
    worker = FakeWorker(cluster, settings)
    assert "workers of d live (w1): stop them first" in one_line(hotswap("forget", "d", code=2))

    worker.speak(stopped=True)
    monkeypatch.setattr("fakes.kafka_logs.FakeAdmin.has_offsets", lambda *_: _true())
    assert "group d has answered requests" in one_line(hotswap("forget", "d", code=2))
    assert shown(code=1) == (["d"], "")


async def _true():
    return True
