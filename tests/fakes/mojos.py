"""MOJOs with their rows and H2O's own predictions, and protos generated from the headers of both."""

import csv
import math
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hotswap.codec.proto import Operation
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.load import Load

MODELS = Path(__file__).parents[1] / "models" / "h2o"
SMALLEST = 1e-9
# What H2O returns beside its predictions, and the prefix that its columns get here.
BESIDE = {"anomaly": "", "contributions": "contribution_", "distances": ""}


@dataclass(frozen=True)
class Mojo:
    """A MOJO in a folder: `<name>.zip`, `<name>.pred.csv` and `rows`. `vector` is the output that holds all others."""

    name: str
    vector: str = ""
    folder: Path = MODELS
    rows: str = "rows.csv"

    @property
    def model(self) -> Path:
        return self.folder / f"{self.name}.zip"

    @cached_property
    def inputs(self) -> list[dict[str, str]]:
        return read_csv(self.folder / self.rows)

    @property
    def whole_row(self) -> dict[str, str]:
        """The first row without missing values."""
        return next(row for row in self.inputs if all(row.values()))

    @cached_property
    def expected(self) -> list[dict[str, str]]:
        """H2O's own predictions: field name -> text."""
        found = read_csv(self.folder / f"{self.name}.pred.csv")
        for ending, prefix in BESIDE.items():
            if (path := self.folder / f"{self.name}.{ending}.csv").exists():
                for row, more in zip(found, read_csv(path), strict=True):
                    row.update({prefix + name: value for name, value in more.items()})
        return [{identifier(name): value for name, value in row.items()} for row in found]

    @cached_property
    def is_classifier(self) -> bool:
        """Whether H2O predicts a label: there are then probabilities, or a score, beside it."""
        names = {name for name in self.expected[0] if not name.startswith(tuple(filter(None, BESIDE.values())))}
        return "predict" in names and bool(names - {"predict", "mean_length"} - {f"distance_{n}" for n in range(9)})

    @cached_property
    def levels(self) -> set[str]:
        """The categorical columns that the model reads, including encoded ones (`color.blue`, `color:0`)."""
        with zipfile.ZipFile(self.model) as mojo:
            columns = mojo.read("model.ini").decode().partition("[columns]")[2]
        return set(re.findall(r"^(color|country)\b", columns, flags=re.MULTILINE))

    @property
    def has_contributions(self) -> bool:
        return (self.folder / f"{self.name}.contributions.csv").exists()

    @property
    def configuration(self) -> Configuration:
        return Configuration(runtime={"contributions": "true"} if self.has_contributions else {})

    @cached_property
    def proto(self) -> bytes:
        columns = {
            name: "optional string" if is_text(self.inputs, name) else "optional double" for name in self.inputs[0]
        }
        fields = {name: "string" if name == "predict" and self.is_classifier else "double" for name in self.expected[0]}
        if self.vector:
            fields[self.vector] = "repeated double"
        return f"""syntax = "proto3";
            message Row {{ {declared(columns)} }}
            message Answer {{ {declared(fields)} }}
            service Model {{ rpc Score(Row) returns (Answer); }}""".encode()

    @cached_property
    def operation(self) -> Operation:
        return compile_proto(self.proto).operations["Score"]

    def load(self, *, configuration: Configuration | None = None, proto: bytes | None = None) -> Load:
        return Load(
            generation=1,
            kind="h2o",
            model=self.model,
            proto=self.proto if proto is None else proto,
            is_descriptor_set=False,
            configuration=self.configuration if configuration is None else configuration,
            samples=(),
            heap_mb=128,
        )

    def request(self, row: dict[str, str], **changed: str | None) -> bytes:
        """Return a row as a request; empty cells and None are left out."""
        types = {part.name: part.cpp_type for part in self.operation.input.DESCRIPTOR.fields}
        values = {name: value for name, value in {**row, **changed}.items() if value}
        message = self.operation.input
        fields = {
            n: v if types[n] == message.DESCRIPTOR.fields[0].CPPTYPE_STRING else float(v) for n, v in values.items()
        }
        return message(**fields).SerializeToString()

    def requests(self) -> list[bytes]:
        return [self.request(row) for row in self.inputs]

    def faults(self, answers: list[bytes]) -> list[str]:
        """Return a line for each answer that differs from H2O's own."""
        told = []
        for number, (answer, expected) in enumerate(zip(answers, self.expected, strict=True)):
            message = self.operation.output.FromString(answer)
            found = {name: getattr(message, name) for name in expected}
            told += [
                f"row {number}: {name} is {found[name]!r}, and H2O says {value}"
                for name, value in expected.items()
                if not is_same(found[name], value)
            ]
            if self.vector and not is_among(list(getattr(message, self.vector)), list(found.values())):
                told.append(f"row {number}: {self.vector} is {getattr(message, self.vector)}, and not {found}")
        return told


def identifier(name: str) -> str:
    """Return H2O's column name as a field name."""
    return re.sub(r"^(?=\d)", "p", re.sub(r"\W", "_", name))


def declared(fields: dict[str, str]) -> str:
    return " ".join(f"{kind} {name} = {number};" for number, (name, kind) in enumerate(fields.items(), 1))


def is_text(rows: list[dict[str, str]], name: str) -> bool:
    return any(re.fullmatch(r"[-+.\d]+(e[-+]?\d+)?", row[name]) is None for row in rows if row[name])


def is_same(value: float | str, expected: str) -> bool:
    if isinstance(value, str):
        return value == expected
    return math.isnan(value) if expected == "" else abs(value - float(expected)) < SMALLEST


def is_among(vector: list[float], values: list[float | str]) -> bool:
    """Return whether a vector's elements occur among the values, in order and contiguously."""
    texts, wanted = list(map(repr, values)), list(map(repr, vector))
    return any(texts[start : start + len(wanted)] == wanted for start in range(len(texts)))


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV; with one column, an empty line is a row too."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return [dict(zip(header, row or [""], strict=True)) for row in rows]
