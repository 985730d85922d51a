"""A model of XGBoost takes the place of a MOJO under a stream, and gives it back."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.audit import generation, source
from harness.fleet import Deployment, messages
from hotswap.client.change import Change
from hotswap.codec.proto import Operation
from hotswap.generation import Configuration, frozen

pytestmark = pytest.mark.xgboost
ROOT = Path(__file__).parents[2]
IRIS = ROOT / "tests" / "models" / "xgboost" / "iris.ubj"
CLASSES = ("setosa", "versicolor", "virginica")


async def test_a_mojo_and_a_model_of_xgboost_replace_each_other_under_a_stream(deployment: Deployment) -> None:
    values, _, operation = messages("iris")
    mojo = Change(model=ROOT / "examples/models/iris_gbm.zip", proto=ROOT / "examples/protos/iris.proto")
    named = Configuration(outputs=frozen({"species": "predict"}), runtime=frozen({"classes": ",".join(CLASSES)}))
    deployment.start()
    places: list[tuple[int, int]] = []
    kinds: dict[int, str] = {}
    async with deployment.client() as client:
        for change in (mojo, Change(model=IRIS, configuration=named), replace(mojo, configuration=Configuration())):
            streaming = asyncio.create_task(deployment.publish(values * 4))
            receipt = await client.swap(change)
            outcome = await client.await_swap(receipt)
            assert outcome.is_good, outcome
            kinds[receipt.generation] = "xgboost" if change.model == IRIS else "h2o"
            for sent in (await streaming, await deployment.publish(values)):
                places += [(place.partition, place.offset) for place in sent]
    await deployment.drained()
    assert await deployment.stop() == 0

    result = await deployment.audit()
    assert result.faults == {}
    assert not result.dead_letters
    expected, number = expected_of(values, operation), {place: n % len(values) for n, place in enumerate(places)}
    seen: Counter[str] = Counter()
    for message in result.predictions:
        kind, answer = kinds[generation(message)], operation.output.FromString(message.value() or b"")
        seen[kind] += 1
        if kind == "xgboost":
            probabilities = expected[number[source(message)]]
            assert answer.species == CLASSES[int(np.argmax(probabilities))]
            assert [getattr(answer, name) for name in CLASSES] == probabilities
    assert seen["xgboost"] >= len(values)
    assert seen["h2o"] >= 2 * len(values)


def expected_of(values: Sequence[bytes], operation: Operation) -> list[list[float]]:
    """Return the probabilities of each request, by XGBoost alone."""
    xgboost = pytest.importorskip("xgboost")
    booster: Any = xgboost.Booster({"nthread": 1}, model_file=IRIS)
    rows = [operation.input.FromString(value) for value in values]
    table = np.array([[getattr(row, name) for name in booster.feature_names] for row in rows])
    probabilities = booster.predict(xgboost.DMatrix(table, feature_names=booster.feature_names))
    return [list(map(float, row)) for row in probabilities]
