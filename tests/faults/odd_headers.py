"""Models whose columns have odd names, by each way that scores a table: equal to H2O's EasyPredict, or refused.

    make odd-headers                        all of them; MODELS="cases dots": these

Each model of tests/models/odd is packed with its own rows as the sample, and the same CSV is scored by `score`, by
`predict`, as a request on the stream, by the gateway and the console's trial, and by `batch` from CSV and from Parquet;
most of them from JSON, too. No way may pass over a column, or answer other than EasyPredict does to the same rows.
"""

import asyncio
import csv
import io
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from harness.calls import Gateway
from harness.command import hotswap
from harness.easy_predict import Answer, easy_predictions
from harness.fleet import Deployment
from harness.lab import TESTS
from hotswap.batch import Format
from hotswap.client.answers import Outgoing, Prediction
from hotswap.console.drafts import ModelDraft
from hotswap.console.trial import attempt
from hotswap.gateway.converters import Converters
from hotswap.gateway.limits import GatewayLimits
from hotswap.gateway.turns import Turns
from hotswap.gateway.work import Work
from hotswap.local.kafka import LocalKafka
from hotswap.packages.package import open_package, schema_of

FOLDER = TESTS / "models" / "odd"
SMALLEST = 1e-9
REFUSED = {  # by `pack` or `score`: their MOJOs have other columns than the models that they were made of
    "twins": "several columns called lead",
    "comment": "target",
}
Said = Sequence[Mapping[str, Any]]
"""Of each row, the fields of its answer."""


@dataclass(frozen=True)
class Model:
    """A MOJO, its rows, and the package that `hotswap pack` makes of them."""

    name: str
    packed: Path

    @property
    def mojo(self) -> Path:
        return FOLDER / f"{self.name}.zip"

    @property
    def table(self) -> Path:
        return FOLDER / f"{self.name}.csv"

    @property
    def package(self) -> Path:
        return self.packed / self.name / "modeldump.zip"

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as JSON has them: numbers, and null where a value is missing."""
        with self.table.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return [
            {name.strip(" \t"): _value(cell, place == len(header) - 1) for place, (name, cell) in enumerate(named)}
            for named in (list(zip(header, row, strict=True)) for row in rows)
        ]

    @property
    def lines(self) -> str:
        """The rows as JSON, one a line."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)


def _value(cell: str, is_text: bool) -> Any:  # noqa: FBT001 - of a cell
    return None if not cell else cell if is_text else float(cell)


def names() -> list[str]:
    """The models that are to be served: those that the command line names, or all."""
    return sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("*.zip") if path.stem not in REFUSED)


def judged(of: Sequence[str]) -> dict[str, list[Answer]]:
    """Return EasyPredict's answers to the rows of these models."""
    tables = [(FOLDER / f"{name}.zip", FOLDER / f"{name}.csv") for name in of]
    return dict(zip(of, easy_predictions(tables), strict=True))


def predicted(name: str) -> list[Answer]:
    """Return what H2O itself predicted when the model was trained."""
    with (FOLDER / f"{name}.pred.csv").open(newline="", encoding="utf-8") as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    labels = len(rows[0]) > 1
    return [
        {key: value if labels else float(value) for key, value in row.items() if key == "predict"}
        | {f"p_{key}": float(value) for key, value in row.items() if key != "predict"}
        for row in rows
    ]


def difference(said: Said, wanted: Sequence[Answer]) -> str:
    """Return what differs from EasyPredict's answers; nothing if they are the same."""
    if len(said) != len(wanted):
        return f"{len(said)} answers to {len(wanted)} rows"
    wrong = [row for row, (one, other) in enumerate(zip(said, wanted, strict=True), 1) if not _is_same(one, other)]
    return f"{len(wrong)} of {len(wanted)} rows differ, the first is row {wrong[0]}" if wrong else ""


def _is_same(said: Mapping[str, Any], wanted: Answer) -> bool:
    found = {name.replace("_", ""): value for name, value in said.items()}
    for name, value in wanted.items():
        told = found.get(name.replace("_", ""))
        if isinstance(value, str) or told is None:
            if told != value:
                return False
        elif abs(float(told) - value) > SMALLEST * max(1.0, abs(value)):
            return False
    return True


def of_csv(text: str) -> Said:
    """Return the answers that a CSV has."""
    return list(csv.DictReader(io.StringIO(text)))


def of_frames(documents: Iterable[Mapping[str, Any]]) -> Said:
    """Return the answers that messages of a drafted proto have: a list for each output."""
    said: list[Mapping[str, Any]] = []
    for document in documents:
        some = {name: values for name, values in document.items() if isinstance(values, list) and values}
        said += [dict(zip(some, row, strict=True)) for row in zip(*some.values(), strict=True)]
    return said


# ---- each way to score a table


async def by_score(deployment: Deployment, model: Model) -> dict[str, Said]:
    """`hotswap score`, of CSV and of JSON."""
    found = {}
    for name, path in _files(deployment, model).items():
        out, said = await hotswap(deployment, "score", path, "--package", model.package)
        assert "ignored" not in said, said
        found[f"score {name}"] = of_csv(out.decode())
    return found


async def by_predict(deployment: Deployment, model: Model) -> dict[str, Said]:
    """`hotswap predict`, of CSV and of JSON."""
    found = {}
    for name, path in _files(deployment, model).items():
        out, said = await hotswap(deployment, "predict", deployment.name, path)
        assert "ignored" not in said, said
        found[f"predict {name}"] = of_csv(out.decode())
    return found


def _files(deployment: Deployment, model: Model) -> dict[str, Path]:
    lines = deployment.folder / f"{model.name}.jsonl"
    lines.write_text(model.lines, encoding="utf-8")
    return {"csv": model.table, "json": lines}


def _texts(model: Model) -> dict[str, tuple[Format, bytes]]:
    return {"csv": (Format.CSV, model.table.read_bytes()), "json": (Format.JSON, json.dumps(model.rows).encode())}


async def by_stream(deployment: Deployment, model: Model) -> dict[str, Said]:
    """One request of all rows, as text that the host reads."""
    found = {}
    async with deployment.client() as client:
        for name, (kind, text) in _texts(model).items():
            headers = [("content-type", kind.encode()), ("accept", b"application/json")]
            async for answer in client.predict([Outgoing(text, None, headers)]):
                assert isinstance(answer, Prediction), answer
                found[f"stream {name}"] = of_frames([json.loads(answer.value)])
    return found


async def by_gateway(client: httpx.AsyncClient, deployment: Deployment, model: Model) -> dict[str, Said]:
    """The plain API, and Acumos's."""
    found: dict[str, Said] = {}
    for name, (kind, text) in _texts(model).items():
        reply = await client.post(f"/v1/{deployment.name}/predict", content=text, headers={"content-type": kind})
        assert reply.status_code == 200, reply.text
        assert "hotswap-notes" not in reply.headers, reply.headers
        document = reply.json()
        found[f"gateway {name}"] = of_frames(item["prediction"] for item in document["predictions"])
    files = {"csvFile": model.table.read_bytes()}
    reply = await client.post("/transformCSVDefault", files=files, headers={"accept": "text/csv"})
    assert reply.status_code == 200, reply.text
    return {**found, "transformCSVDefault": of_csv(reply.text)}


async def by_trial(deployment: Deployment, model: Model) -> dict[str, Said]:
    """The console's trial: its first rows and outputs."""
    with open_package(model.package) as package:
        assert package.proto
        draft = ModelDraft(
            key="", deployment="", folder=model.packed, model=package.model, kind=package.kind, name=package.name,
            is_loadable=True, configuration=package.configuration, notes=[], sample=model.table.read_bytes(),
            drafted=(package.proto.source or b"").decode(), proto=(package.proto.source or b"").decode(),
        )  # fmt: skip
        around: Any = SimpleNamespace(settings=deployment.settings, is_serving=False)
        limits = GatewayLimits(body_bytes=1 << 20, artifact_bytes=1 << 20, hosts=2, is_foreign_code_allowed=False)
        work = Work("trial", Turns(1, of_one=1), Converters())  # the rows are few: they are read at once
        trial = await attempt(draft, schema_of(package.proto), around, limits, work)
    assert (trial.fault, trial.notes) == ("", [])
    return {"trial": [dict(zip(trial.outputs, (pair.new for pair in row), strict=True)) for _, row in trial.rows]}


@asynccontextmanager
async def serving(kafka: LocalKafka, folder: Path) -> AsyncIterator[tuple[Deployment, httpx.AsyncClient]]:
    """A deployment with a worker and a gateway, which serves nothing yet."""
    deployment = await Deployment(kafka, folder).create(partitions=1)
    deployment.start()
    gateway = await Gateway(deployment, "gateway").start()
    try:
        async with httpx.AsyncClient(base_url=gateway.address, timeout=60) as client:
            yield deployment, client
    finally:
        gateway.kill()
        deployment.close()


async def pack(deployment: Deployment, model: Model) -> None:
    """`hotswap pack` with the model's own rows."""
    target = model.packed / model.name
    _, said = await hotswap(deployment, "pack", model.mojo, "--sample", model.table, "--out", target, "--force")
    assert "is not in the sample" not in said, said


async def ways(deployment: Deployment, client: httpx.AsyncClient, model: Model) -> dict[str, Said]:
    """Return what each way answers, but batch."""
    await pack(deployment, model)
    found = {**await by_score(deployment, model), **await by_trial(deployment, model)}
    await hotswap(deployment, "swap", deployment.name, "--package", model.package)
    return {
        **found,
        **await by_predict(deployment, model),
        **await by_stream(deployment, model),
        **await by_gateway(client, deployment, model),
    }


def by_batch(run: Callable[..., Any], folder: Path, model: Model) -> dict[str, Said]:
    """`hotswap batch`, of CSV and of Parquet; `run` is that of harness.lake.Commands."""
    import pyarrow as pa  # noqa: PLC0415 - of .venv-spark
    import pyarrow.parquet as pq  # noqa: PLC0415 - the same

    columns = {name: [row[name] for row in model.rows] for name in model.rows[0]}
    parquet = folder / f"{model.name}.parquet"
    pq.write_table(pa.table(columns), parquet)
    found = {}
    for name, path in {"csv": model.table, "parquet": parquet}.items():
        output = folder / f"{model.name}.{name}.out"
        ran = run("batch", "d", "--input", path, "--output", output, "--package", model.package, "--json")
        assert ran.code == 0, ran.stderr
        assert "ignored" not in ran.stderr, ran.stderr
        answers = pq.read_table(output)["answer"].to_pylist()
        found[f"batch {name}"] = of_frames(answers)
    return found


# ---- the proof


async def _kept(folder: Path) -> int:
    wanted, bad = judged(names()), 0
    with LocalKafka() as kafka:
        async with serving(kafka, folder) as (deployment, client):
            for name, why in REFUSED.items():
                bad += await _is_accepted(deployment, Model(name, folder), why)
            for name in names():
                try:
                    found = await ways(deployment, client, Model(name, folder))
                except AssertionError as error:
                    bad += _told(name, "fails", str(error)[:500])
                    continue
                bad += _compare(name, found, wanted[name])
    return bad + _batches(folder, wanted)


async def _is_accepted(deployment: Deployment, model: Model, why: str) -> int:
    try:
        await hotswap(deployment, "pack", model.mojo, "--sample", model.table, "--out", model.packed / model.name)
        await hotswap(deployment, "score", model.table, "--package", model.package)
    except AssertionError as error:
        is_right = why in str(error)
        return _told(model.name, "refused" if is_right else "fails", "" if is_right else str(error)) - is_right
    return _told(model.name, "is accepted", "")


def _batches(folder: Path, wanted: Mapping[str, list[Answer]]) -> int:
    from harness.lake import Commands  # noqa: PLC0415 - of .venv-spark

    bad = 0
    lake = folder / "lake"
    lake.mkdir()
    with Commands.started(lake) as commands:
        for name in names():
            try:
                found = by_batch(commands.run, lake, Model(name, folder))
            except AssertionError as error:
                bad += _told(name, "batch fails", str(error)[:500])
                continue
            bad += _compare(name, found, wanted[name])
    return bad


def _compare(name: str, found: Mapping[str, Said], wanted: list[Answer]) -> int:
    bad = 0
    for way, said in found.items():
        if wrong := difference(said, wanted[: len(said)] if way == "trial" else wanted):
            bad += _told(name, way, wrong)
    if not bad:
        _told(name, "equal", ", ".join(found))
    return bad


def _told(name: str, what: str, why: str) -> int:
    sys.stdout.write(f"{name:18}{what}{': ' if why else ''}{why}\n")
    sys.stdout.flush()
    return 1


def main() -> int:
    """Print a line for each model."""
    with tempfile.TemporaryDirectory(prefix="hotswap-odd-") as folder:
        bad = asyncio.run(_kept(Path(folder)))
    sys.stdout.write("every way answers as EasyPredict does, or refuses\n" if not bad else f"{bad} ways differ\n")
    return min(bad, 1)


if __name__ == "__main__":
    raise SystemExit(main())
