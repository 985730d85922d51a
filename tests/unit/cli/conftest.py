"""Fixtures for the tests of the command line."""

from pathlib import Path

import pytest

from fakes.command_line import CSV, PROTO, SINGLE
from fakes.kafka_logs import FakeCluster
from hotswap.artifacts.archive import write_zip
from hotswap.settings import Settings


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTSWAP_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "frame.proto").write_text(PROTO)
    (tmp_path / "single.proto").write_text(SINGLE)
    (tmp_path / "broken.proto").write_text('syntax = "proto3"; message A { int32 x = ; }')
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "bad.csv").write_text("x\n1\nabc\n2\n")
    write_zip(tmp_path / "model.zip", {"model.ini": b""})
    return tmp_path


@pytest.fixture
def settings(files: Path) -> Settings:
    return Settings(deployment="d")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> FakeCluster:
    return FakeCluster().create(settings).install(monkeypatch)
