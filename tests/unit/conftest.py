"""Fixtures for the tests of what reaches Kafka through its logs: a cluster in memory."""

import logging

import pytest

from fakes.kafka_logs import FakeCluster
from hotswap.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(deployment="d", store=(tmp_path / "store").as_uri(), cache=tmp_path / "cache")


@pytest.fixture
def cluster(monkeypatch, settings):
    return FakeCluster().create(settings).install(monkeypatch)


@pytest.fixture(autouse=True)
def quiet_logs():
    root = logging.getLogger()
    before = root.level, root.handlers[:], logging.getLogger("aiokafka").level
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    logging.getLogger("aiokafka").setLevel(before[2])
