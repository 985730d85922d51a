"""A model's folder, an index and a worker's environments, for the tests that install with the real uv."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from fakes.python_index import Index, serving
from hotswap.environments.environments import Environments
from hotswap.settings import Settings


@pytest.fixture
def index() -> Iterator[Index]:
    with serving() as index:
        yield index


@pytest.fixture
def settings(tmp_path: Path, index: Index) -> Settings:
    return Settings(cache=tmp_path / "cache", python_index=index.url)


@pytest.fixture
async def environments(settings: Settings) -> AsyncIterator[Environments]:
    environments = Environments(settings)
    yield environments
    await environments.stop()


@pytest.fixture
def model(tmp_path: Path) -> Callable[..., Path]:
    def make(*lines: str) -> Path:
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "requirements.lock").write_text("".join(lines))
        return folder

    return make
