"""Fixtures for the tests of artifacts."""

import pytest

from fakes.artifacts import sha256
from hotswap.generation import Model
from hotswap.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(
        cache=tmp_path / "cache",
        store=(tmp_path / "remote").as_uri(),
        max_artifact_bytes=1 << 20,
        cache_max_bytes=8 << 20,
    )


@pytest.fixture
def publish(tmp_path):
    def put(content, *, kind="h2o", name="model.zip"):
        path = tmp_path / "remote" / sha256(content) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return Model(path.as_uri(), sha256(content), kind)

    return put
