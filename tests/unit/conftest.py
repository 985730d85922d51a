"""Fixtures for the tests of what reaches Kafka through its logs: a cluster in memory."""

import pytest

from fakes.kafka_logs import FakeCluster
from hotswap.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(deployment="d", store=(tmp_path / "store").as_uri(), cache=tmp_path / "cache")


@pytest.fixture
def cluster(monkeypatch, settings):
    return FakeCluster().create(settings).install(monkeypatch)
