"""Each model of ONNX, XGBoost and LightGBM in tests/models, through a real Kafka and by `hotswap batch`: a table.

The same rows are published as protobuf, as JSON and as CSV, and lie in a Parquet file for `batch`: with missing values,
levels that a model does not know, and texts. The answers and refusals are compared with those of the plain way, a host
whose every row goes through Python and the model's own library (which the contract tests compare with that library).
"""

import asyncio
import csv
import io
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor

from harness import lake
from harness.audit import Audit, header, source
from harness.drafts import load_of, loadable
from harness.fleet import Deployment
from harness.lab import TESTS, Lab
from hotswap.batch import Answer, Format, Refusal
from hotswap.client.change import Change
from hotswap.codec.fields import INTEGERS
from hotswap.codec.outputs import FLOATS
from hotswap.codec.proto import Operation
from hotswap.generation import Configuration, Proto
from hotswap.host.load import Load
from hotswap.local.kafka import LocalKafka

HEAD = (
    "| model | columns | rows | refused | as protobuf, JSON, CSV | by batch | verdict |\n|---|---|---|---|---|---|---|"
)
SUFFIXES = {"onnx": (".onnx",), "xgboost": (".ubj", ".json"), "lightgbm": (".txt",)}
REFUSED = "cities.ubj"
"""A model that no worker accepts: its levels are beyond ASCII."""
OPTIONS = {"other_levels.txt": {"categories": "only,rooms,size,flag,zip"}}
"""What the configuration has to say of a model."""
ROWS = 120
_FORMATS = (Format.PROTOBUF, Format.JSON, Format.CSV)
_WORDS = ("good", "not so good", "an unseen level", "Zürich", "0", "1")
_STARTED_S = 120
_FLOAT32 = 1e-6
_STEP = 2.0**-23
"""Of a float32 at 1: a model's probability may be 1 less that of the other class."""

_Row = dict[str, Any]


@dataclass(frozen=True)
class Tried:
    """A row of the table."""

    name: str
    columns: int
    refused: int
    stream: list[str]
    batch: list[str]

    @property
    def holds(self) -> bool:
        return not (self.stream or self.batch)

    def __str__(self) -> str:
        ways = " | ".join(found[0] if found else "same" for found in (self.stream, self.batch))
        verdict = "holds" if self.holds else "BROKEN"
        return f"| {self.name} | {self.columns} | {ROWS} | {self.refused} | {ways} | {verdict} |"


@dataclass(frozen=True)
class Known:
    """A model with its proto, rows of it, and the answers of the plain way."""

    kind: str
    path: Path
    operation: Operation
    load: Load
    rows: Sequence[_Row]
    answers: Sequence[Answer]

    def requests(self, content: Format) -> list[bytes]:
        """Return the rows as requests."""
        if content is Format.PROTOBUF:
            return [self.operation.input(**row).SerializeToString() for row in self.rows]
        if content is Format.JSON:
            return [json.dumps(row).encode() for row in self.rows]
        return [self._line(row) for row in self.rows]

    def _line(self, row: _Row) -> bytes:
        text = io.StringIO()
        names = [field.name for field in self.operation.input.DESCRIPTOR.fields]
        csv.writer(text).writerows([names, [row.get(name, "") for name in names]])
        return text.getvalue().encode()

    def difference(self, row: int, seen: str | bytes) -> str:
        """Return how an answer, or a refusal's code, differs from that of the plain way; empty: it does not."""
        expected = self.answers[row]
        wanted = str(expected.code) if isinstance(expected, Refusal) else expected
        if seen == wanted or (isinstance(seen, bytes) and isinstance(wanted, bytes) and self._is_near(seen, wanted)):
            return ""
        return f"row {row}: {seen!r}, not {wanted!r}, of {self.rows[row]}"

    def _is_near(self, *answers: bytes) -> bool:
        if self.kind != "onnx":
            return False
        seen, wanted = (dict(self.operation.output.FromString(answer).ListFields()) for answer in answers)
        return seen.keys() == wanted.keys() and all(_is_close(field, seen[field], wanted[field]) for field in wanted)

    def write_parquet(self, path: Path) -> None:
        """Write the rows to a file, each with its number."""
        import pyarrow as pa  # noqa: PLC0415 - of the extra `lake`
        from pyarrow import parquet  # noqa: PLC0415 - the same

        fields = self.operation.input.DESCRIPTOR.fields
        schema = pa.schema([("number", pa.int64()), *((field.name, column_type(field)) for field in fields)])
        rows = [{"number": number, **row} for number, row in enumerate(self.rows)]
        parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def models() -> Iterator[tuple[str, Path]]:
    """Yield the kind and the file of each model."""
    for kind, suffixes in SUFFIXES.items():
        files = sorted((TESTS / "models" / kind).iterdir())
        yield from ((kind, path) for path in files if path.suffix in suffixes and path.name != REFUSED)


COUNT = sum(1 for _ in models())


async def run(folder: Path, *, seed: int, say: Callable[[str], None] = print) -> list[Tried]:
    """Try every model; return the rows of the table."""
    say(f"every-model: seed {seed}, {COUNT} models, {ROWS} rows each")
    chance = random.Random(seed)
    with LocalKafka() as kafka, lake.Commands.started(folder) as commands:
        deployment = Deployment(kafka, folder)
        try:
            await deployment.create(2)
            deployment.start()
            known = await asyncio.to_thread(lambda: [one for kind in SUFFIXES for one in _known(kind, folder, chance)])
            by_stream = await _stream(deployment, known, say)
        finally:
            deployment.close()
        rows = []
        for one, stream in zip(known, by_stream, strict=True):
            refused = sum(isinstance(answer, Refusal) for answer in one.answers)
            columns = len(one.operation.input.DESCRIPTOR.fields)
            batch = await asyncio.to_thread(_by_batch, commands, one, folder)
            rows.append(Tried(f"{one.kind} {one.path.name}", columns, refused, stream, batch))
            say(str(rows[-1]))
    say("\n".join([HEAD, *map(str, rows)]))
    return rows


def figures(rows: Sequence[Tried]) -> dict[str, Any]:
    """Summarize the table."""
    return {"models": len(rows), "rows": ROWS * len(rows), "refused": sum(row.refused for row in rows)}


def _known(kind: str, folder: Path, chance: random.Random) -> Iterator[Known]:
    with ExitStack() as stack:
        plain = Lab(Path(tempfile.mkdtemp(dir=folder)) / "plain", kind, main="fakes.plain_lab")
        stack.callback(plain.close)
        for path in (path for one, path in models() if one == kind):
            operation, load = loadable(plain, path, _configuration(kind, path, plain))
            reads = plain.load(load).reads["score"]
            rows = [_row(operation, reads, chance) for _ in range(ROWS)]
            values = [operation.input(**row).SerializeToString() for row in rows]
            yield Known(kind, path, operation, load, rows, list(plain.score(values).answers))


def _configuration(kind: str, path: Path, lab: Lab) -> Configuration:
    """Name the elements of an ONNX model's only input, so that a line of CSV can hold them."""
    if path.name in OPTIONS:
        return Configuration(runtime=OPTIONS[path.name])
    columns = lab.describe(load_of(kind, path)).columns or ()
    if kind != "onnx" or len(columns) != 1 or not columns[0].width or columns[0].type != "vector":
        return Configuration()
    return Configuration(runtime={"columns": ",".join(f"c{place}" for place in range(columns[0].width))})


def _row(operation: Operation, reads: Any, chance: random.Random) -> _Row:
    row = {}
    for field in operation.input.DESCRIPTOR.fields:
        if field.has_presence and chance.random() < 0.05:
            continue
        row[field.name] = _value(field, list(reads.get(field.name, ())), chance)
    return row


def _value(field: FieldDescriptor, known: Sequence[str], chance: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        words = [word for word in known if word] or _WORDS
        return chance.choice(words if chance.random() < 0.95 else _WORDS)
    if field.cpp_type in INTEGERS:
        return chance.randrange(4)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return chance.random() < 0.5
    return float(np.float32(chance.gauss(0, 2)))


async def _stream(deployment: Deployment, known: Sequence[Known], say: Callable[[str], None]) -> list[list[str]]:
    """Swap to each model, and publish its rows; return what differs for each."""
    places: list[dict[Any, tuple[Format, int]]] = []
    async with deployment.client() as client:
        for one in known:
            proto = Proto.inline(one.load.proto)
            change = Change(model=one.path, kind=one.kind, proto=proto, configuration=one.load.configuration)
            receipt = await client.swap(change)
            async with asyncio.timeout(_STARTED_S):
                outcome = await client.await_swap(receipt)
            assert outcome.is_good, (one.path, outcome)
            where = {}
            for content in _FORMATS:
                headers = {"content_type": content.value.encode(), "accept": Format.PROTOBUF.value.encode()}
                sent = await deployment.publish(one.requests(content), **headers)
                where |= {(place.partition, place.offset): (content, row) for row, place in enumerate(sent)}
            await deployment.drained()
            places.append(where)
            say(f"{one.kind} {one.path.name}: generation {receipt.generation} has answered")
    result = await deployment.audit()
    assert result.faults == {}, result.faults
    return [_differing(one, where, result) for one, where in zip(known, places, strict=True)]


def _differing(one: Known, where: dict[Any, tuple[Format, int]], result: Audit) -> list[str]:
    seen = {
        **{source(message): message.value() or b"" for message in result.predictions if source(message) in where},
        **{source(message): header(message, "code") for message in result.dead_letters if source(message) in where},
    }
    differences = ((content, one.difference(row, seen[place])) for place, (content, row) in where.items())
    return [f"{content.name}, {difference}" for content, difference in differences if difference]


def _by_batch(commands: lake.Commands, one: Known, folder: Path) -> list[str]:
    place = folder / f"{one.kind}-{one.path.name}"
    place.mkdir()
    one.write_parquet(place / "rows.parquet")
    packed = lake.pack(place / "packed", one.kind, one.path, one.load.proto, one.load.configuration)
    ran = commands.batch(place / "rows.parquet", place / "scored", packed.path)
    if ran.code not in (0, 1):
        return [f"exit code {ran.code}: {ran.stderr[-200:]}"]
    scored = lake.by_row(place / "scored", "number")
    seen = (scored[row]["refusal_code"] or scored[row]["answer_message"] for row in range(len(one.answers)))
    return list(filter(None, map(one.difference, range(len(one.answers)), seen)))


def _is_close(field: FieldDescriptor, seen: Any, wanted: Any) -> bool:
    if field.cpp_type not in FLOATS:
        return bool(seen == wanted)
    return np.shape(seen) == np.shape(wanted) and np.allclose(seen, wanted, rtol=_FLOAT32, atol=_STEP, equal_nan=True)


def column_type(field: FieldDescriptor) -> Any:
    """Return the type of the column in a Parquet file that fills a field."""
    import pyarrow as pa  # noqa: PLC0415 - of the extra `lake`

    if field.type == FieldDescriptor.TYPE_STRING:
        kind = pa.string()
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        kind = pa.bool_()
    else:
        kind = pa.int64() if field.cpp_type in INTEGERS else pa.float64()
    return pa.list_(kind) if field.is_repeated else kind
