"""Models that a library of Python scores take the place of a MOJO under a stream, and give it back."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from harness.audit import generation, source
from harness.fleet import Deployment, messages
from hotswap.client.change import Change
from hotswap.codec.proto import Operation
from hotswap.generation import Configuration, frozen

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "models"
SPECIES = ("setosa", "versicolor", "virginica")


class Kind(NamedTuple):
    """A model of the irises; `score` returns the probabilities of rows, by its library alone."""

    model: Path
    score: Callable[[np.ndarray[Any, Any]], Sequence[Sequence[float]]]
    label: str
    options: Mapping[str, str]
    tolerance: float


def by_onnxruntime(table: np.ndarray[Any, Any]) -> Sequence[Sequence[float]]:
    session = pytest.importorskip("onnxruntime").InferenceSession(KINDS["onnx"].model)
    (name,) = (column.name for column in session.get_inputs())
    labels, probabilities = session.run(None, {name: table.astype(np.float32)})
    assert [*labels] == [SPECIES[best] for best in np.argmax(probabilities, axis=1)]
    return [list(map(float, row)) for row in probabilities]


def by_xgboost(table: np.ndarray[Any, Any]) -> Sequence[Sequence[float]]:
    xgboost = pytest.importorskip("xgboost")
    booster: Any = xgboost.Booster({"nthread": 1}, model_file=KINDS["xgboost"].model)
    probabilities = booster.predict(xgboost.DMatrix(table, feature_names=booster.feature_names))
    return [list(map(float, row)) for row in probabilities]


def by_lightgbm(table: np.ndarray[Any, Any]) -> Any:
    booster = pytest.importorskip("lightgbm").Booster(model_file=KINDS["lightgbm"].model)
    return booster.predict(table, num_threads=1).tolist()


CLASSES = {"classes": ",".join(SPECIES)}
KINDS = {
    "onnx": Kind(MODELS / "onnx" / "iris.onnx", by_onnxruntime, "label", {}, 1e-6),
    "xgboost": Kind(MODELS / "xgboost" / "iris.ubj", by_xgboost, "predict", CLASSES, 0.0),
    "lightgbm": Kind(MODELS / "lightgbm" / "iris.txt", by_lightgbm, "predict", CLASSES, 0.0),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in KINDS])
async def test_a_mojo_and_a_model_of_another_kind_replace_each_other_under_a_stream(
    deployment: Deployment, name: str
) -> None:
    kind = KINDS[name]
    values, _, operation = messages("iris")
    mojo = Change(model=ROOT / "examples/models/iris_gbm.zip", proto=ROOT / "examples/protos/iris.proto")
    named = Configuration(runtime=frozen(kind.options), outputs=frozen({"species": kind.label}))
    deployment.start()
    places: list[tuple[int, int]] = []
    kinds: dict[int, str] = {}
    async with deployment.client() as client:
        for change in (
            mojo,
            Change(model=kind.model, configuration=named),
            replace(mojo, configuration=Configuration()),
        ):
            streaming = asyncio.create_task(deployment.publish(values * 4))
            receipt = await client.swap(change)
            outcome = await client.await_swap(receipt)
            assert outcome.is_good, outcome
            kinds[receipt.generation] = name if change.model == kind.model else "h2o"
            for sent in (await streaming, await deployment.publish(values)):
                places += [(place.partition, place.offset) for place in sent]
    await deployment.drained()
    assert await deployment.stop() == 0

    result = await deployment.audit()
    assert result.faults == {}
    assert not result.dead_letters
    expected = kind.score(table_of(values, operation))
    number = {place: n % len(values) for n, place in enumerate(places)}
    seen: Counter[str] = Counter()
    for message in result.predictions:
        by, answer = kinds[generation(message)], operation.output.FromString(message.value() or b"")
        seen[by] += 1
        if by == name:
            probabilities = expected[number[source(message)]]
            assert [getattr(answer, each) for each in SPECIES] == pytest.approx(
                probabilities, rel=kind.tolerance, abs=0.0
            )
            assert answer.species == SPECIES[int(np.argmax(probabilities))]
    assert seen[name] >= len(values)
    assert seen["h2o"] >= 2 * len(values)


def table_of(values: Sequence[bytes], operation: Operation) -> np.ndarray[Any, Any]:
    """Return the columns of requests, in the order of their fields."""
    rows = [operation.input.FromString(value) for value in values]
    return np.array([[getattr(row, part.name) for part in row.DESCRIPTOR.fields] for row in rows])
