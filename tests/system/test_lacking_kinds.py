"""Workers of which one lacks the extra of a kind: its swap is refused, and such a worker takes no partition."""

import asyncio
import json
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import pytest

from harness.command import hotswap
from harness.fleet import Deployment, messages
from hotswap.client.change import Change, Receipt
from hotswap.client.commanding import write_command
from hotswap.client.overview import overview, read_history
from hotswap.generation import Configuration, Model, frozen
from hotswap.swap.command import Outcome, SwapCommand

pytestmark = pytest.mark.onnx
IRIS = Path(__file__).parents[1] / "models" / "onnx" / "iris.onnx"
NAMED = Configuration(outputs=frozen({"species": "label"}))
WITHOUT = 'import sys; sys.modules["onnxruntime"] = None\n'
"""What hides onnxruntime from a worker, as if it were not installed."""
LACKS = "onnxruntime is not installed here: install hotswap[onnx] on every worker"


async def until(deployment: Deployment, condition) -> None:
    async with asyncio.timeout(60):
        while not condition(await overview(deployment.settings)):
            await asyncio.sleep(0.1)


def readiness(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode().strip()


async def log_of(deployment: Deployment) -> list[str]:
    return [entry.command.command_id for entry in (await read_history(deployment.settings)).entries]


async def test_a_swap_to_a_kind_that_a_worker_lacks_is_refused_and_writes_nothing_and_takes_place_once_that_one_stops(
    deployment, tmp_path
):
    await deployment.serve("iris_gbm")
    deployment.start("w2", prelude=WITHOUT)
    await until(deployment, lambda view: [worker.generation for worker in view.live] == [1, 1])
    before = await log_of(deployment)
    (config := tmp_path / "outputs.json").write_text('{"outputs": {"species": "label"}}')
    swap = ("swap", deployment.name, "--model", IRIS, "--config", config)

    _, told = await hotswap(deployment, *swap, code=1)
    assert f"nothing was written, since live workers cannot load models of kind onnx: w2 ({LACKS})" in told
    assert await log_of(deployment) == before

    assert await deployment.stop("w2") == 0
    printed, _ = await hotswap(deployment, *swap, "--json")
    assert json.loads(printed)["is_good"]
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    await until(deployment, lambda view: view.commands[0].told["w1"].outcome is Outcome.RETIRED)
    (view,) = json.loads((await hotswap(deployment, "status", deployment.name, "--json"))[0])
    w1 = next(worker for worker in view["workers"] if worker["worker"] == "w1")
    assert w1["runtime"].startswith("onnxruntime ")
    assert w1["cpu"]
    first, second = (command["workers"]["w1"] for command in view["commands"])
    assert first["runtime"].startswith("h2o-genmodel ")
    assert (second["outcome"], second["runtime"], second["cpu"]) == ("SERVING", w1["runtime"], w1["cpu"])
    assert (await deployment.audit()).faults == {}
    assert await deployment.stop() == 0


async def test_a_worker_that_starts_without_the_kind_of_what_serves_says_so_and_leaves_the_partitions_to_others(
    deployment,
):
    await deployment.serve("iris_gbm")
    async with deployment.client() as client:
        change = Change(model=IRIS, configuration=NAMED)
        assert (await client.await_swap(await client.swap(change))).is_good
    await until(deployment, lambda view: {lag.generation for lag in view.lags} == {2})
    deployment.start("w2", prelude=WITHOUT)
    problem = f"w2 cannot load generation 2: KIND_MISSING {LACKS}"
    await until(deployment, lambda view: problem in view.problems)
    why = f"partition 0 was last scored by generation 2, which it cannot load: {LACKS}"
    async with asyncio.timeout(30):
        while await asyncio.to_thread(readiness, deployment.port("w2")) != (503, why):
            await asyncio.sleep(0.1)
    await deployment.publish(messages("iris")[0])
    await deployment.drained(20)
    (view,) = json.loads((await hotswap(deployment, "status", deployment.name, "--json", code=1))[0])
    assert [part["worker"] for part in view["partitions"]] == ["w1"] * 4
    assert [worker["kinds"]["onnx"] for worker in view["workers"]] == ["", LACKS]

    assert await deployment.stop("w2") == 0
    deployment.start("w2")
    await until(deployment, lambda view: [len(worker.partitions) for worker in view.live] == [2, 2])
    assert (await deployment.audit()).faults == {}
    for worker in ("w1", "w2"):
        assert await deployment.stop(worker) == 0


async def test_a_command_that_was_written_all_the_same_fails_on_the_worker_that_lacks_the_kind_in_the_same_words(
    deployment,
):
    await deployment.serve("iris_gbm")
    deployment.start("w2", prelude=WITHOUT)
    await until(deployment, lambda view: [len(worker.partitions) for worker in view.live] == [2, 2])
    async with deployment.client() as client:
        uri, sha256 = await client._store.upload(IRIS)
        model = Model(uri, sha256, "onnx", "iris")
        command = SwapCommand(command_id=str(uuid.uuid4()), generation=2, base=1, model=model, configuration=NAMED)
        await write_command(deployment.settings, client._writer, command, None)
        answer = await client.await_swap(Receipt(command.command_id, 2, {}, 60))
    assert answer.told["w1"].outcome is Outcome.SERVING
    failed = answer.told["w2"]
    assert (failed.outcome, failed.code, failed.message) == (Outcome.FAILED, "KIND_MISSING", LACKS)
    await deployment.publish(messages("iris")[0])
    await deployment.drained()
    result = await deployment.audit()
    assert result.faults == {}
    assert not result.dead_letters
    for worker in ("w1", "w2"):
        assert await deployment.stop(worker) == 0
