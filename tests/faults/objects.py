"""A fleet whose store is a real S3 server, which hangs, dies and is away in the middle of swaps: the stream goes on."""

import asyncio
import os
import time
import zipfile
from functools import partial

from faults import arena as arenas
from faults.arena import MODELS, Terms
from faults.scenarios import Scenario
from harness.fleet import EXAMPLES
from harness.objects import BUCKET, object_store
from hotswap.artifacts.store import Store
from hotswap.client.change import Change
from hotswap.generation import Model

SECONDS = 60
"""How long the server is away, each time."""
_PADDING = 96 << 20
"""Bytes beside a model, so that the server can be struck while it is fetched."""
_SHORT_S, _LONG_S = 30, 180
"""Deadlines of swaps: one that ends before the server is back, and one that does not."""
_QUICK_S = 60
_OWN_CACHE = "import os; os.environ['HOTSWAP_CACHE'] += '-' + os.environ['HOTSWAP_WORKER_ID']\n"
"""So that each worker fetches for itself, as on machines of their own."""


async def run(folder, *, seed, seconds=SECONDS, say=print):
    """Play it; return what broke a promise, and figures."""
    with object_store() as server:
        scenario = Scenario(
            name="s3",
            promise="each swap ends within its deadline, and no request waits for the store",
            play=partial(_play, server=server),
            terms=Terms(settings={"store": f"s3://{BUCKET}/churn"}, prelude=_OWN_CACHE),
        )
        arena = await arenas.run(scenario, seed=seed, seconds=seconds, folder=folder, say=say)
    return arena.findings, arena.figures


async def _play(arena, seconds, *, server):
    took = [await _is_served(arena, f"quiet {number}") for number in range(3)]
    arena.figures["swap from the store to all three, median s"] = round(sorted(took)[1], 2)
    gaps = arena.verifier.longest_gaps
    for act in (_hangs, _dies, _is_away):
        before = dict(gaps)
        gaps.clear()
        await act(arena, server, seconds)
        name = act.__name__[1:].replace("_", " ")
        arena.figures[f"longest gap of a partition while it {name}, s"] = round(max(gaps.values(), default=0), 2)
        gaps |= {partition: max(gap, gaps.get(partition, 0)) for partition, gap in before.items()}
        await _is_served(arena, f"after it {name}")


async def _hangs(arena, server, seconds):
    """Stop it in the middle of a fetch, for longer than the swap's deadline: that ends it, and nothing else."""
    began, waiting = await _strike(arena, "hung", _SHORT_S, server.suspend)
    answer = await waiting
    took = time.monotonic() - began
    arena.say(f"hung in the middle: {_outcomes(answer)} after {took:.1f} s")
    assert all("not ready within 30 s" in told.message for told in answer.told.values()), answer
    assert took <= _SHORT_S + 5, f"it ended after {took:.1f} s"
    await _generation_is_old(arena)
    await asyncio.sleep(max(began + seconds - time.monotonic(), 0))
    server.resume()


async def _dies(arena, server, seconds):
    """Kill it in the middle of a fetch, and start it again later: the rest is fetched then, and the swap succeeds."""
    began, waiting = await _strike(arena, "killed", _LONG_S, server.kill)
    await asyncio.sleep(seconds)
    assert not waiting.done(), waiting.result()
    await _generation_is_old(arena)
    await asyncio.to_thread(server.start)
    answer = await waiting
    took = time.monotonic() - began
    waited = sum(arena.deployment.log(name).count('"fetch.waiting"') for name in arena.workers)
    arena.say(f"killed in the middle, back after {seconds} s: {_outcomes(answer)} after {took:.1f} s")
    arena.figures |= {"swap that saw it die and come back, s": round(took, 1), "waits for it": waited}
    assert answer.is_good, answer
    assert waited, "it was not in the middle"


async def _is_away(arena, server, seconds):
    """Kill it before a swap: this waits, and succeeds once the server is back."""
    change, _ = await _uploaded(arena, "away", deadline_s=_LONG_S)
    await asyncio.to_thread(server.kill)
    began = time.monotonic()
    waiting = asyncio.create_task(arena.client.await_swap(await arena.command(change)))
    await asyncio.sleep(seconds)
    assert not waiting.done(), waiting.result()
    await _generation_is_old(arena)
    await asyncio.to_thread(server.start)
    answer = await waiting
    took = time.monotonic() - began
    arena.say(f"away from the beginning, back after {seconds} s: {_outcomes(answer)} after {took:.1f} s")
    arena.figures["swap that finds it away, s"] = round(took, 1)
    assert answer.is_good, answer


async def _is_served(arena, name):
    """Swap to a model that no worker has; return how long it took until all serve it, seconds."""
    change, _ = await _uploaded(arena, name, padding=0)
    began = time.monotonic()
    answer = await arena.client.await_swap(await arena.command(change))
    assert answer.is_good, answer
    return time.monotonic() - began


async def _strike(arena, name, deadline_s, blow):
    """Swap, and strike while the workers fetch; return when that was, and the task that awaits the fleet's answer."""
    change, size = await _uploaded(arena, name, deadline_s=deadline_s)
    receipt = await arena.command(change)
    await arena.until(lambda: any(_fetched(arena)), _QUICK_S, "a worker fetches")
    began = time.monotonic()
    await asyncio.to_thread(blow)
    at = _fetched(arena)
    arena.say(f"{name}: struck with {at} of {size} bytes fetched")
    assert any(0 < fetched < size for fetched in at), "it was not in the middle of a fetch"
    return began, asyncio.create_task(arena.client.await_swap(receipt))


def _fetched(arena):
    """Return how many bytes each fetch that is going on has by now."""
    sizes = []
    for packed in arena.folder.glob("cache-*/artifacts/.staging-*/packed"):
        try:
            sizes.append(packed.stat().st_size)
        except OSError:
            continue  # it is complete, and has another name
    return sizes


async def _uploaded(arena, name, *, padding=_PADDING, deadline_s=None):
    """Upload a model with so many random bytes beside it; return the swap to it, and the file's size."""
    base = arena.random.choice(MODELS)
    path = arena.folder / f"{name.replace(' ', '-')}.zip"
    with zipfile.ZipFile(EXAMPLES / "models" / f"{base}.zip") as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, source.read(entry))
        target.writestr("padding", os.urandom(16 + padding))
    model = Model(*await Store(arena.deployment.settings).upload(path))
    arena.verifier._oracle.know(model.sha256, base)
    return Change(model=model, deadline_s=deadline_s), path.stat().st_size


async def _generation_is_old(arena):
    """Wait until each partition has answered again, by the generation that served before."""
    served = dict(arena.verifier.generations)
    answered = arena.verifier.answered
    await arena.until(lambda: arena.verifier.answered > answered + arena.terms.per_second, 10, "the stream goes on")
    assert arena.verifier.generations.keys() == served.keys(), "another generation answered"


def _outcomes(answer):
    return {name: " ".join(filter(None, (told.outcome.name, told.code))) for name, told in answer.told.items()}
