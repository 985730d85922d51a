"""Each model of tests/models/python through a real Kafka, over HTTP and by `hotswap batch`: a table.

Each runs in its own environment, which uv makes from its lock and the index of HOTSWAP_PYTHON_INDEX (default: PyPI).
The answers are compared with those of a direct call, of MLflow's folders with MLflow's own (expected.json). With
TORCH=1 the model with PyTorch is tried, too: an environment of 1.7 GB, and Python 3.10, on PATH or in HOTSWAP_PYTHONS.
"""

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fakes.python_models import pythons
from faults.python_model_cases import NAMES, TORCH, PythonCase
from faults.python_over_http import OverHttp
from harness import lake
from harness.fleet import Deployment
from hotswap.batch import Format
from hotswap.client.answers import Outgoing, Refused
from hotswap.client.change import Change
from hotswap.client.fleet import Told
from hotswap.generation import Configuration, Proto
from hotswap.local.kafka import LocalKafka

HEAD = (
    "| model | kind | runs on | rows | swap, s | by Kafka as protobuf, JSON | over HTTP | by batch | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|"
)
WITH_TORCH = bool(os.environ.get(TORCH.upper()))
TRIED = [name for name in NAMES if name != TORCH or WITH_TORCH]
COUNT = len(TRIED)
_STAGING_S = 900
_SHOWN = 300


@dataclass(frozen=True)
class Tried:
    """A row of the table."""

    name: str
    kind: str
    runtime: str
    answers: int
    swap_s: float
    stream: list[str]
    http: list[str]
    batch: list[str]

    @property
    def holds(self) -> bool:
        return not (self.stream or self.http or self.batch)

    def __str__(self) -> str:
        ways = (found[0][:_SHOWN] if found else "same" for found in (self.stream, self.http, self.batch))
        cells = (self.name, self.kind, self.runtime, str(self.answers), f"{self.swap_s:.1f}", *ways)
        return f"| {' | '.join(cells)} | {'holds' if self.holds else 'BROKEN'} |"


async def run(folder: Path, *, say: Callable[[str], None] = print) -> list[Tried]:
    """Try every model; return the rows of the table."""
    say(f"every-python-model: {COUNT} models")
    rows = []
    with LocalKafka() as kafka, lake.Commands.started(folder, **_environment()) as commands:
        deployment = Deployment(kafka, folder, kinds="h2o,python,python-pickle", **_settings())
        try:
            await deployment.create(2)
            deployment.start()
            async with OverHttp.started(deployment) as http:
                for name in TRIED:
                    case = PythonCase.prepared(name, folder / name)
                    rows.append(await _tried(case, deployment, http, commands))
                    say(str(rows[-1]))
            await deployment.drained()
            result = await deployment.audit()
        finally:
            deployment.close()
    assert result.faults == {}, result.faults
    say("\n".join([HEAD, *map(str, rows)]))
    return rows


def figures(rows: Sequence[Tried]) -> dict[str, Any]:
    """Summarize the table."""
    return {"models": len(rows), "rows": sum(row.answers for row in rows)}


def _settings() -> dict[str, Any]:
    given = {"pythons": os.environ.get("HOTSWAP_PYTHONS") or ",".join(pythons("3.10").values())}
    return given | {"swap_deadline_ms": _STAGING_S * 1000}


def _environment() -> dict[str, str]:
    return {f"HOTSWAP_{name.upper()}": str(value) for name, value in _settings().items()}


async def _tried(case: PythonCase, deployment: Deployment, http: OverHttp, commands: lake.Commands) -> Tried:
    told: list[Told] = []
    began = time.monotonic()
    async with deployment.client() as client:
        receipt = await client.swap(Change(model=case.folder, proto=Proto.inline(case.proto)))
        outcome = await client.await_swap(receipt, on_told=told.append)
        assert outcome.is_good, (case.name, outcome)
        swap_s = time.monotonic() - began
        stream = await _by_stream(case, client)
    over_http = await http.faults(case)
    by_batch = await asyncio.to_thread(_by_batch, case, commands)
    runtime = next((one.runtime for one in reversed(told) if one.runtime), "")
    answers = len(case.rows) * len(case.operations)
    return Tried(case.name, case.kind, runtime, answers, swap_s, stream, over_http, by_batch)


async def _by_stream(case: PythonCase, client: Any) -> list[str]:
    """Publish the rows as protobuf and as JSON, which are answered in the same format; return what differs."""
    found = []
    for operation in case.operations:
        for content, values in ((Format.PROTOBUF, case.messages(operation)), (Format.JSON, case.texts())):
            named = {"operation": operation.name, "content-type": content.value, "accept": content.value}
            headers = [(name, value.encode()) for name, value in named.items()]
            asked = [Outgoing(value, None, headers) for value in values]
            answers = [_text(answer, content) async for answer in client.predict(asked)]
            found += [f"{content.name}, {fault}" for fault in case.faults(operation, answers)]
    return found


def _text(answer: Any, content: Format) -> Any:
    if isinstance(answer, Refused):
        return f"{answer.code}: {answer.message}"
    return answer.value if content is Format.PROTOBUF else json.loads(answer.value)


def _by_batch(case: PythonCase, commands: lake.Commands) -> list[str]:
    place = case.folder.with_name(f"{case.name}-batch")
    place.mkdir()
    table = case.as_table()
    table.write_parquet(place / "rows.parquet")
    packed = lake.pack(place / "packed", case.kind, case.folder, case.proto, Configuration())
    found = []
    for operation in case.operations:
        output = place / operation.name
        ran = commands.batch(place / "rows.parquet", output, packed.path, "--operation", operation.name)
        if ran.code not in (0, 1):
            found.append(f"{operation.name}: exit code {ran.code}: {ran.stderr[-_SHOWN:]}")
            continue
        scored = lake.by_row(output, "number")
        answers = (
            f"{row['refusal_code']}: {row['refusal_reason']}" if row["refusal_code"] else row["answer_message"]
            for row in map(scored.__getitem__, range(len(table.rows)))
        )
        found += table.faults(operation, answers)
    return found
