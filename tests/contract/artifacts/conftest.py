"""Fixtures for the tests of the process that fetches."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fakes.fetching import Fetching, Silent, silent_server
from fakes.processes import left_behind, nothing_left


@pytest.fixture
def silent() -> Iterator[Silent]:
    with silent_server() as made:
        yield made


@pytest.fixture
async def tidy() -> AsyncIterator[None]:
    before = left_behind()
    yield
    await nothing_left(before)


@pytest.fixture
async def fetching(tmp_path: Path, tidy: None, silent: Silent) -> AsyncIterator[Fetching]:
    made = Fetching(cache=tmp_path / "cache", allowed_stores=f"file:///,{silent.store}")
    yield made
    made.release_all()
    await made.fetcher.stop()
