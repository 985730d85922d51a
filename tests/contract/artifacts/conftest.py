"""Fixtures for the tests of the process that fetches."""

import pytest

from fakes.fetching import Fetching, silent_server
from fakes.processes import left_behind, nothing_left


@pytest.fixture
def silent():
    with silent_server() as made:
        yield made


@pytest.fixture
async def tidy():
    before = left_behind()
    yield
    await nothing_left(before)


@pytest.fixture
async def fetching(tmp_path, tidy, silent):
    made = Fetching(cache=tmp_path / "cache", allowed_stores=f"file:///,{silent.store}")
    yield made
    made.release_all()
    await made.fetcher.stop()
