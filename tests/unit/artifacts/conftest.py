"""Fixtures for the tests of artifacts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.artifacts import sha256
from hotswap.generation import Model
from hotswap.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        cache=tmp_path / "cache",
        store=(tmp_path / "remote").as_uri(),
        max_artifact_bytes=1 << 20,
        cache_max_bytes=8 << 20,
    )


@pytest.fixture
def publish(tmp_path: Path) -> Callable[..., Model]:
    def put(content: bytes, *, kind: str = "h2o", name: str = "model.zip") -> Model:
        path = tmp_path / "remote" / sha256(content) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Model(path.as_uri(), sha256(content), kind)

    return put
