"""Each kind of model takes the place of the one before it under a stream, while workers are killed.

All serve the iris proto, so that one stream goes through all of them, and each answer is compared with the prediction
of its generation's own library: computed here, or written when the model was trained.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fakes.python_models import pythons
from faults import python_kinds
from faults.oracle import read_rows
from faults.publisher import iris
from faults.storm_commands import sha256
from harness.fleet import EXAMPLES, ROOT
from hotswap.client.change import Change
from hotswap.generation import Configuration, frozen
from hotswap.runtimes.kinds import kinds

_MODELS = ROOT / "tests" / "models"
_CLASSES = ("setosa", "versicolor", "virginica")
_STAGING_S = 300
_SERVING_S = 2
"""Seconds' worth of answers that each generation gives before a worker of it is killed, and after."""
_PLAIN = Configuration()
ALL_KINDS = {"kinds": ",".join(kinds()), "pythons": ",".join(pythons().values())}
"""Settings of workers that load models of all kinds, on all Pythons that are here."""
_FLOAT = 1e-5  # onnxruntime 1.32: the last bits of a row depend on its batch, 4e-6 of the smallest probability here
_DOUBLE = 1e-9


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A model of the kind that `name` begins with.

    `predictions` returns the answer to each row of iris.csv, by the fields of the proto.
    """

    name: str
    model: Path
    predictions: Callable[[], list[dict[str, Any]]]
    configuration: Configuration = _PLAIN
    relative: float = _DOUBLE
    """How far from a prediction an answer may be, relative to it."""

    @property
    def change(self):
        return Change(
            model=self.model, kind=self.name.partition(" ")[0], configuration=self.configuration, deadline_s=_STAGING_S
        )


async def kinds_in_turn(arena, seconds):
    """Swap from kind to kind, round after round; kill a worker while each is staged, and one while it serves."""
    for kind in KINDS:
        _teach(arena.verifier._oracle, kind)
    until, rounds, deaths, served = time.monotonic() + seconds, 0, 0, {}
    while not rounds or time.monotonic() < until:
        for kind in KINDS:
            receipt = await arena.command(kind.change)
            served[receipt.generation] = kind.name
            await asyncio.sleep(arena.random.uniform(0, 2))
            _kill(arena)
            await _has_answered(arena, receipt.generation, kind.name)
            _kill(arena)
            await _has_answered(arena, receipt.generation, kind.name)
            deaths += 2
            arena.say(f"{kind.name} serves as {receipt.generation}, {arena.verifier.counts.total()} findings")
        rounds += 1
    answers = Counter()
    for generation, name in served.items():
        answers[name] += arena.verifier.generations[generation]
    arena.figures |= {"rounds": rounds, "workers killed": deaths, "answers by kind": dict(answers)}


def _kill(arena):
    victim = arena.random.choice(arena.workers)
    arena.deployment.kill(victim)
    arena.join(in_place_of=victim)


async def _has_answered(arena, generation, kind):
    """Wait until a generation has given some more answers."""
    goal = arena.verifier.generations[generation] + _SERVING_S * arena.terms.per_second
    await arena.until(lambda: arena.verifier.generations[generation] >= goal, _STAGING_S, f"{kind} answers")


def _teach(oracle, kind):
    digest = sha256(kind.model)
    oracle.learn(digest, like="iris_gbm", predictions=kind.predictions(), relative=kind.relative)
    assert all(oracle.expected(digest, value) for value in iris()), f"not each answer of {kind.name} can be recomputed"


# ---- the kinds


def _rows():
    rows = read_rows(EXAMPLES / "data" / "iris.csv")
    return np.array([[float(row[name]) for name in list(row)[:4]] for row in rows])


def _by_class(probabilities):
    """Return the answers of a classifier; the most probable class is the label."""
    return [
        {"species": _CLASSES[int(np.argmax(row))]} | dict(zip(_CLASSES, row.tolist(), strict=True))
        for row in probabilities
    ]


def _onnx():
    import onnxruntime  # noqa: PLC0415 - of an extra, as those below

    session = onnxruntime.InferenceSession(_MODELS / "onnx" / "iris.onnx", providers=["CPUExecutionProvider"])
    _, probabilities = session.run(None, {session.get_inputs()[0].name: _rows().astype(np.float32)})
    return _by_class(probabilities)


def _xgboost():
    import xgboost  # noqa: PLC0415

    booster = xgboost.Booster(model_file=_MODELS / "xgboost" / "iris.ubj")
    return _by_class(booster.predict(xgboost.DMatrix(_rows(), feature_names=booster.feature_names)))


def _lightgbm():
    import lightgbm  # noqa: PLC0415

    return _by_class(lightgbm.Booster(model_file=_MODELS / "lightgbm" / "iris.txt").predict(_rows()))


def _java():
    """Return the answers of tests/jars/petals."""
    near = 1 / (1 + (_rows()[:, 2:3] - np.array([1.46, 4.26, 5.55])) ** 2)
    return _by_class(near / near.sum(axis=1, keepdims=True))


def _spark():
    """Return Spark's own predictions; the configuration has the area of the petal in the place of a probability."""
    lines = (_MODELS / "spark" / "iris.pred.jsonl").read_text().splitlines()
    left_out = {"versicolor": 0.0, "virginica": 0.0}
    return [{"species": row["flower"], "setosa": row["area"], **left_out} for row in map(json.loads, lines)]


KINDS = (
    Kind(
        name="onnx",
        model=_MODELS / "onnx" / "iris.onnx",
        predictions=_onnx,
        configuration=Configuration(outputs=frozen({"species": "label"})),
        relative=_FLOAT,
    ),
    Kind(
        name="xgboost",
        model=_MODELS / "xgboost" / "iris.ubj",
        predictions=_xgboost,
        configuration=Configuration(
            outputs=frozen({"species": "predict"}), runtime=frozen({"classes": ",".join(_CLASSES)})
        ),
        relative=_FLOAT,
    ),
    Kind(
        name="java",
        model=ROOT / "tests" / "jars" / "petals.jar",
        predictions=_java,
        configuration=Configuration(runtime=frozen({"class": "petals.Botanist", "method": "classify"})),
    ),
    Kind(name="python (NumPy 1)", model=python_kinds.model(1), predictions=python_kinds.predictions(1)),
    Kind(
        name="lightgbm",
        model=_MODELS / "lightgbm" / "iris.txt",
        predictions=_lightgbm,
        configuration=Configuration(
            outputs=frozen({"species": "predict"}), runtime=frozen({"classes": ",".join(_CLASSES)})
        ),
    ),
    Kind(
        name="spark",
        model=_MODELS / "spark" / "iris.zip",
        predictions=_spark,
        configuration=Configuration(
            outputs=frozen({"species": "flower", "setosa": "area", "versicolor": "", "virginica": ""})
        ),
    ),
    Kind(name="python (NumPy 2)", model=python_kinds.model(2), predictions=python_kinds.predictions(2)),
    Kind(name="python (NumPy 1, again)", model=python_kinds.model(1), predictions=python_kinds.predictions(1)),
    Kind(
        name="h2o",
        model=EXAMPLES / "models" / "iris_glm.zip",
        predictions=lambda: read_rows(EXAMPLES / "data" / "iris_glm.pred.csv"),
    ),
)
"""In the order of the swaps; the fleet begins with another model of H2O."""
