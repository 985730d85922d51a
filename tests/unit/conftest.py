"""Fixtures of the unit tests: a cluster in memory, and nothing of what other tests have left in this process."""

from pathlib import Path

import pytest

from fakes.kafka_logs import FakeCluster
from hotswap.host.process import HostProcess
from hotswap.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(deployment="d", store=(tmp_path / "store").as_uri(), cache=tmp_path / "cache")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> FakeCluster:
    return FakeCluster().create(settings).install(monkeypatch)


@pytest.fixture(autouse=True)
def contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know nothing of the last host that was started here: a worker warns of what could not be contained."""
    monkeypatch.setattr(HostProcess, "uncontained", "")
