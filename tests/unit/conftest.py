"""Fixtures of the unit tests: a cluster in memory, and nothing of what other tests have left in this process."""

import logging

import pytest

from fakes.kafka_logs import FakeCluster
from hotswap.host.process import HostProcess
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


@pytest.fixture(autouse=True)
def contained(monkeypatch):
    """Know nothing of the last host that was started here: a worker warns of what could not be contained."""
    monkeypatch.setattr(HostProcess, "uncontained", "")
