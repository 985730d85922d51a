"""A model in the format of ONNX takes the place of a MOJO under a stream, and gives it back."""

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from harness.audit import generation, source
from harness.fleet import Deployment, messages
from hotswap.client.change import Change
from hotswap.generation import Configuration, frozen

pytestmark = pytest.mark.onnx
ROOT = Path(__file__).parents[2]
IRIS = ROOT / "tests" / "models" / "onnx" / "iris.onnx"


async def test_a_mojo_and_a_model_in_the_format_of_onnx_replace_each_other_under_a_stream(
    deployment: Deployment,
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    values, labels, operation = messages("iris")
    mojo = Change(model=ROOT / "examples/models/iris_gbm.zip", proto=ROOT / "examples/protos/iris.proto")
    named = Configuration(outputs=frozen({"species": "label"}))
    deployment.start()
    places = []
    kinds = {}
    async with deployment.client() as client:
        for change in (
            mojo,
            Change(model=IRIS, configuration=named),
            Change(model=mojo.model, configuration=Configuration()),
        ):
            streaming = asyncio.create_task(deployment.publish(values * 4))
            receipt = await client.swap(change)
            outcome = await client.await_swap(receipt)
            assert outcome.is_good, outcome
            kinds[receipt.generation] = "onnx" if change.model == IRIS else "h2o"
            places += await streaming
            places += await deployment.publish(values)
    await deployment.drained()
    assert await deployment.stop() == 0

    result = await deployment.audit()
    assert result.faults == {}
    assert not result.dead_letters
    session = onnxruntime.InferenceSession(IRIS, providers=["CPUExecutionProvider"])
    rows = [operation.input.FromString(value) for value in values]
    table = np.array([[getattr(row, field.name) for field in row.DESCRIPTOR.fields] for row in rows], np.float32)
    predicted, probabilities = session.run(None, {session.get_inputs()[0].name: table})
    number = {place: n % len(values) for n, place in enumerate((each.partition, each.offset) for each in places)}
    seen: Counter[str] = Counter()
    for message in result.predictions:
        kind, row = kinds[generation(message)], number[source(message)]
        answer = operation.output.FromString(message.value())
        seen[kind] += 1
        if kind == "onnx":
            assert answer.species == predicted[row]
            np.testing.assert_allclose(
                [answer.setosa, answer.versicolor, answer.virginica], probabilities[row], rtol=1e-6
            )
        else:
            assert answer.species in set(labels) | {"setosa", "versicolor", "virginica"}
    assert seen["onnx"] >= len(values)
    assert seen["h2o"] >= 2 * len(values)
