"""Python models under a stream: environments that clash are swapped there and back, and no request is lost or twice."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.python_index import locked, wheel
from fakes.python_models import OWN, proto, pythons, written
from harness.audit import generation
from harness.fleet import Deployment, Kafka
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Proto

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only")

SOURCE = """
    import sys
    import dep

    def predict(model, columns):
        by = f"dep {dep.VERSION} of Python {sys.version_info[0]}.{sys.version_info[1]}"
        return {"y": [2 * x for x in columns["x"]], "by": [by] * len(columns["x"])}
"""
CONTRACT = proto("double x = 1;", "double y = 1; string by = 2;")
(OPERATION,) = compile_proto(CONTRACT).operations.values()
ROWS = [OPERATION.input(x=float(x)).SerializeToString() for x in range(200)]


def model(folder: Path, version: str, python: str) -> Path:
    """Write a model whose package of this version lies beside it."""
    packed = wheel("dep", version=version)
    written(folder, SOURCE, {"requirements.txt": locked("dep", packed, version=version).encode()})
    (folder / ".python-version").write_text(python)
    (folder / "wheels").mkdir()
    (folder / "wheels" / f"dep-{version}-py3-none-any.whl").write_bytes(packed)
    return folder


@pytest.fixture
async def fleet(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A deployment whose workers load models of kind python."""
    made = Deployment(kafka, tmp_path, kinds="h2o,python", pythons=",".join(pythons().values()))
    await made.create()
    yield made
    made.close()


async def test_environments_that_clash_are_swapped_there_and_back_while_workers_are_killed(
    fleet: Deployment, tmp_path: Path
) -> None:
    other = [*pythons(), OWN][1]
    first = Change(model=model(tmp_path / "one", "1.0", OWN), proto=Proto.inline(CONTRACT))
    second = Change(model=model(tmp_path / "two", "2.0", other))
    for worker in ("w1", "w2"):
        fleet.start(worker)
    expected: dict[int, str] = {}
    async with fleet.client() as client:
        for turn, change in enumerate((first, second, first, second)):
            streaming = asyncio.create_task(fleet.publish(ROWS * 3))
            receipt = await client.swap(change)
            if turn:
                fleet.kill(worker := ("w1", "w2")[turn % 2])
                fleet.start(worker)
            outcome = await client.await_swap(receipt)
            assert outcome.is_good, outcome
            is_first = change is first
            expected[receipt.generation] = f"dep {'1.0' if is_first else '2.0'} of Python {OWN if is_first else other}"
            await streaming
            await fleet.publish(ROWS)
    await fleet.drained()
    for worker in ("w1", "w2"):
        assert await fleet.stop(worker) == 0

    result = await fleet.audit()
    assert result.faults == {}
    assert not result.dead_letters
    seen: Counter[int] = Counter()
    for message in result.predictions:
        answer, by = OPERATION.output.FromString(message.value() or b""), generation(message)
        assert answer.by == expected[by]
        seen[by] += 1
    assert seen.keys() == expected.keys()
    assert seen.total() == 4 * 4 * len(ROWS)


async def test_a_fleet_that_does_not_name_the_kind_refuses_it_before_the_command_is_written(
    deployment: Deployment, tmp_path: Path
) -> None:
    await deployment.serve("iris_gbm")
    async with deployment.client() as client:
        with pytest.raises(SwapError) as refused:
            await client.swap(Change(model=written(tmp_path / "m", SOURCE), proto=Proto.inline(CONTRACT)))

    assert refused.value.code is SwapCode.KIND_MISSING
    assert "HOTSWAP_KINDS does not name python here" in refused.value.message
