"""`hotswap compare` beside a join by brute force with another Kafka client: the same figures, in constant memory."""

import asyncio
import contextlib
import json
import math
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

import pytest

from faults.million import check_memory, resident_mb
from harness.audit import each, generation, header, source
from harness.command import variables
from harness.fleet import EXAMPLES, ROOT, Deployment, messages
from hotswap.client.change import Change
from hotswap.client.shadowing import Beginning, begin
from hotswap.kafka.topics.control_topic import settled

_BAD = 0.02
_CHUNK = 5_000
_NUMBERS = ("setosa", "versicolor", "virginica")
_DRAINED_S = 1_800


@dataclass
class Figures:
    """The results of a run; `findings` is empty if the command told what the join found."""

    requests: int
    seconds: float = 0.0
    rows: int = 0
    flips: int = 0
    refused: int = 0
    generations: list = field(default_factory=list)
    megabytes: list = field(default_factory=list)
    findings: list = field(default_factory=list)


async def run(deployment, *, seed, count, say):
    """Have a deployment and a shadow of it answer `count` requests, and compare their answers both ways."""
    figures, chance = Figures(count), random.Random(seed)
    await deployment.serve("iris_gbm")
    await _publish(deployment, count // 2, chance)
    await deployment.drained(_DRAINED_S)
    async with deployment.client() as client:
        receipt = await client.swap(Change(model=EXAMPLES / "models" / "iris_glm.zip"))
        assert (await client.await_swap(receipt)).is_good
    await _publish(deployment, count - count // 2, chance)
    await deployment.drained(_DRAINED_S)
    say(f"{count} requests are answered")
    shadow = await _shadow(deployment)
    try:
        await shadow.drained(_DRAINED_S)
        say("and by the shadow")
        told = await _compare(deployment, shadow, figures, say)
    finally:
        shadow.close()
    found = await asyncio.to_thread(_joined, deployment, shadow)
    figures.findings += _unequal(told, found)
    figures.rows, figures.flips, figures.refused = found.rows, found.flips, found.refused.total()
    figures.generations = sorted(found.generations)
    check_memory(figures)
    return figures


async def _publish(deployment, count, chance):
    values = messages("iris")[0]
    async with deployment.client():
        for first in range(0, count, _CHUNK):
            some = min(_CHUNK, count - first)
            await deployment.publish(
                b"\xff\xff" if chance.random() < _BAD else chance.choice(values) for _ in range(some)
            )


async def _shadow(deployment):
    name = f"{deployment.name}.shadow"
    change = Change(model=EXAMPLES / "models" / "iris_glm.zip")
    begun = await begin(deployment.settings, name, change, Beginning(is_from_start=True))
    assert begun.receipt is not None
    folder = deployment.folder / "shadow"
    folder.mkdir()
    logs = {key: getattr(deployment.settings, key) for key in ("control_topic", "status_topic")}
    shadow = Deployment(deployment.kafka, folder, name=name, store=deployment.settings.store, **logs)
    shadow.start("s1")
    shadow.settings = await settled(shadow.settings)
    return shadow


async def _compare(deployment, shadow, figures, say):
    with subprocess.Popen(  # noqa: ASYNC220 - it is started at once, and ended below
        [sys.executable, "-m", "hotswap", "compare", deployment.name, shadow.name, "--json"],
        env=os.environ | variables(deployment), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            reading = asyncio.create_task(asyncio.to_thread(process.stdout.read))
            began = asyncio.get_running_loop().time()
            while process.poll() is None:
                with contextlib.suppress(OSError, StopIteration, IndexError):
                    figures.megabytes.append(resident_mb(process.pid))
                await asyncio.sleep(1)
            figures.seconds = round(asyncio.get_running_loop().time() - began, 1)
            say(f"compared in {figures.seconds} s")
            assert process.returncode == 0, process.returncode
            return json.loads(await reading)
        finally:
            process.kill()


@dataclass
class _Join:
    """What a join of all answers by their sources finds."""

    both: int = 0
    rows: int = 0
    flips: int = 0
    identical: int = 0
    refused: Counter = field(default_factory=Counter)
    labels: Counter = field(default_factory=Counter)
    sizes: dict = field(default_factory=lambda: {name: [] for name in _NUMBERS})
    generations: Counter = field(default_factory=Counter)


def _joined(deployment, shadow):
    mine, theirs = (_answers(one.settings) for one in (deployment, shadow))
    join, output = _Join(), messages("iris")[2].output
    for place in mine.keys() & theirs.keys():
        (number, code, value), (other, their_code, their_value) = mine[place], theirs[place]
        join.both += 1
        if code or their_code:
            join.refused[code, their_code] += 1
            continue
        one, beside = output.FromString(value), output.FromString(their_value)
        join.rows += 1
        join.generations[number, other] += 1
        join.labels[one.species, beside.species] += 1
        join.flips += one.species != beside.species
        join.identical += one == beside
        for name in _NUMBERS:
            join.sizes[name].append(abs(getattr(one, name) - getattr(beside, name)))
    assert len(mine) == len(theirs) == join.both
    return join


def _answers(settings):
    """Return place of the request -> (generation, code of a refusal, value)."""
    topics = settings.topics
    answers = {source(one): (generation(one), "", one.value()) for one in each(settings.kafka, topics.predictions)}
    for one in each(settings.kafka, topics.dead_letters):
        answers[source(one)] = generation(one), header(one, "code"), b""
    return answers


def _unequal(told, found):
    """Yield what the command told otherwise."""
    labels = {tuple(one["labels"]): one["rows"] for one in told["labels"].get("species", [])}
    facts = {
        "requests of both": (told["requests"]["both"], found.both),
        "rows": (told["rows"]["compared"], found.rows),
        "flips": (told["rows"]["flips"], found.flips),
        "rows that are the same": (told["rows"]["identical"], found.identical),
        "labels": (labels, dict(found.labels)),
        "refusals": (
            {tuple(one["codes"]): one["requests"] for one in told["requests"]["refused"]},
            dict(found.refused),
        ),
        "rows by generations": (
            {tuple(one["generations"]): one["rows"] for one in told["generations"]},
            dict(found.generations),
        ),
        "what else there is": (
            [told["requests"][name] for name in ("missing", "waiting", "answered_again", "unreadable")],
            [[0, 0]] * 4,
        ),
        "largest differences": (
            [one["difference"] for one in told["largest"]],
            sorted((size for sizes in found.sizes.values() for size in sizes if size), reverse=True)[:10],
        ),
    }
    for name in _NUMBERS:
        sizes = sorted(found.sizes[name])
        numbers = told["numbers"][name]
        facts[f"{name}, equal"] = numbers["equal"], sizes.count(0.0)
        facts[f"{name}, largest"] = numbers["largest"], sizes[-1]
        for share, value in numbers["quantiles"].items():
            true = sizes[math.ceil(float(share) * len(sizes)) - 1]
            facts[f"{name}, quantile {share}"] = value, pytest.approx(true, rel=0.0101, abs=1e-12)
    return [f"{name}: told {one}, and it is {other}" for name, (one, other) in facts.items() if one != other]
