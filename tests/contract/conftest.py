"""A Java of a module's own for what its tests load, where a host's start and its end are not what they are about."""

import asyncio

import pytest

from harness.lab import Lab


@pytest.fixture(scope="module")
def h2o(tmp_path_factory):
    with Lab.of(tmp_path_factory.mktemp("lab") / "h2o", "h2o") as lab:
        yield lab


@pytest.fixture(scope="module")
def java(tmp_path_factory):
    with Lab.of(tmp_path_factory.mktemp("lab") / "java", "java") as lab:
        yield lab


@pytest.fixture
def pack_in(monkeypatch):
    """Let `onboard` look at models in a lab, not in a host for each look."""

    def set_up(lab):
        async def ask(load):
            return await asyncio.to_thread(lab.describe, load)

        async def check(load):
            return await asyncio.to_thread(lab.load, load)

        monkeypatch.setattr("hotswap.packages.onboarding.ask", ask)
        monkeypatch.setattr("hotswap.packages.onboarding._check", check)

    return set_up
