"""A Java of a module's own for what its tests load, where a host's start and its end are not what they are about."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.lab import Lab
from hotswap.host.load import Load


@pytest.fixture(scope="module")
def h2o(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "h2o", "h2o") as lab:
        yield lab


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "java", "java") as lab:
        yield lab


@pytest.fixture
def pack_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Lab], None]:
    """Let `onboard` look at models in a lab, not in a host for each look."""

    def set_up(lab: Lab) -> None:
        async def ask(load: Load) -> Any:
            return await asyncio.to_thread(lab.describe, load)

        async def check(load: Load) -> Any:
            return await asyncio.to_thread(lab.load, load)

        monkeypatch.setattr("hotswap.packages.onboarding.ask", ask)
        monkeypatch.setattr("hotswap.packages.onboarding.check", check)

    return set_up
