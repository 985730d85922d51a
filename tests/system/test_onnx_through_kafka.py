"""A model in the format of ONNX takes the place of a MOJO under a stream, and gives it back."""

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

pytestmark = pytest.mark.onnx
ROOT = Path(__file__).parents[2]
IRIS = ROOT / "tests" / "models" / "onnx" / "iris.onnx"


async def test_a_mojo_and_a_model_in_the_format_of_onnx_replace_each_other_under_a_stream(
    deployment: Deployment,
) -> None:
    values, _, operation = messages("iris")
    mojo = Change(model=ROOT / "examples/models/iris_gbm.zip", proto=ROOT / "examples/protos/iris.proto")
    named = Configuration(outputs=frozen({"species": "label"}))
    deployment.start()
    places: list[tuple[int, int]] = []
    kinds: dict[int, str] = {}
    async with deployment.client() as client:
        for change in (mojo, Change(model=IRIS, configuration=named), replace(mojo, configuration=Configuration())):
            streaming = asyncio.create_task(deployment.publish(values * 4))
            receipt = await client.swap(change)
            outcome = await client.await_swap(receipt)
            assert outcome.is_good, outcome
            kinds[receipt.generation] = "onnx" if change.model == IRIS else "h2o"
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
        if kind == "onnx":
            label, probabilities = expected[number[source(message)]]
            assert answer.species == label
            np.testing.assert_allclose([answer.setosa, answer.versicolor, answer.virginica], probabilities, rtol=1e-6)
    assert seen["onnx"] >= len(values)
    assert seen["h2o"] >= 2 * len(values)


def expected_of(values: Sequence[bytes], operation: Operation) -> list[Any]:
    """Return the label and the probabilities of each request, by onnxruntime alone."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(IRIS, providers=["CPUExecutionProvider"])
    rows = [operation.input.FromString(value) for value in values]
    table = np.array([[getattr(row, field.name) for field in row.DESCRIPTOR.fields] for row in rows], np.float32)
    return list(zip(*session.run(None, {session.get_inputs()[0].name: table}), strict=True))
