"""A generation that is loaded here: what is out of this machine's reach is no fault of it."""

from fakes.client import MODEL, proto
from hotswap.artifacts.store import Store
from hotswap.client.local_load import OwnParts, load_here
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Generation, Golden


async def test_golden_answers_that_are_not_in_reach_here_are_no_fault(settings, monkeypatch):
    async def away(self, golden):
        raise SwapError(SwapCode.ARTIFACT_UNREACHABLE, f"{golden.uri} is away")

    monkeypatch.setattr(Store, "fetch_golden", away)
    generation = Generation(number=2, model=MODEL, proto=proto(), golden=Golden("file:///g.json", "c" * 64))
    loaded = await load_here(settings, generation, OwnParts(proto()))
    assert loaded.unchecked == "its golden answers are not in reach: file:///g.json is away"
    assert not loaded.fault
