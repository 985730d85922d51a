"""Fixtures for the tests of model hosts."""

import pytest

from fakes.hosts import Hosts


@pytest.fixture
async def hosts():
    made = Hosts()
    yield made
    for host in made.made:
        await host.stop()
