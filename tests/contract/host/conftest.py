"""Fixtures for the tests of model hosts."""

from collections.abc import AsyncIterator

import pytest

from fakes.hosts import Hosts


@pytest.fixture
async def hosts() -> AsyncIterator[Hosts]:
    made = Hosts()
    yield made
    for host in made.made:
        await host.stop()
