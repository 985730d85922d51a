"""The demo's requests and the right answers: rows, their known classes, and each model's offline predictions."""

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from google.protobuf.message import Message

from hotswap.client.change import compile_file
from hotswap.codec.text.layout import Row
from hotswap.codec.text.reader import read_rows

EXAMPLES = Path(__file__).resolve().parent
DATA, MODELS, PROTOS = EXAMPLES / "data", EXAMPLES / "models", EXAMPLES / "protos"

Said: TypeAlias = Mapping[str, str | float]
"""A prediction: the fields of the output message, such as {"species": "setosa", "setosa": 0.94, …}."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A kind of request: the rows of data/<name>.csv, ready to be published, and the class of each."""

    name: str
    proto: Path
    requests: tuple[bytes, ...]
    classes: tuple[str, ...]
    label: str
    output: type[Message]

    def read(self, value: bytes) -> Said:
        """Returns the prediction in a record of the predictions topic."""
        message = self.output.FromString(value)
        return {field.name: getattr(message, field.name) for field in self.output.DESCRIPTOR.fields}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline:
    """A model, identified by its digest, and H2O's own prediction for each row when the model was trained."""

    name: str
    sha256: str
    domain: Domain
    predictions: tuple[Said, ...]


def load_domain(name: str) -> Domain:
    """Encodes each row of data/<name>.csv as the input message of protos/<name>.proto; its last column is the class."""
    proto, table = PROTOS / f"{name}.proto", _read_csv(DATA / f"{name}.csv")
    (operation,) = compile_file(proto).operations.values()
    label = list(table[0])[-1]
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        rows = [row.message for row in read_rows(file, "csv", operation.input) if isinstance(row, Row)]
    return Domain(
        name=name,
        proto=proto,
        requests=tuple(row.SerializeToString() for row in rows),
        classes=tuple(row[label] for row in table),
        label=label,
        output=operation.output,
    )


def load_offline(model: str, domain: Domain) -> Offline:
    """Reads data/<model>.pred.csv: the class in `predict`, and a column with the probability of each class."""
    fields = [field.name for field in domain.output.DESCRIPTOR.fields if field.name != domain.label]
    return Offline(
        name=model,
        sha256=hashlib.sha256((MODELS / f"{model}.zip").read_bytes()).hexdigest(),
        domain=domain,
        predictions=tuple(
            {domain.label: row["predict"]} | {field: float(row[field.removeprefix("p_")]) for field in fields}
            for row in _read_csv(DATA / f"{model}.pred.csv")
        ),
    )


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
