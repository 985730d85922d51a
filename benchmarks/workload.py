"""The workload: a GBM of 50 trees of depth 5 on 12 columns, a second model for the same proto, and rows.

A backlog has rows that differ: a few thousand again and again would teach the CPU the branches of the trees by heart,
which flatters whatever walks them with branches.
"""

import csv
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, frozen

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = "gbm_50x5"
_PROTO = EXAMPLES / "protos" / f"{MODEL}.proto"
_TABLE = EXAMPLES / "data" / f"{MODEL}.csv"


def first_model(mojo: Path | None = None) -> Change:
    """Returns the GBM of 50 trees, or another MOJO of the same columns, and its proto."""
    if mojo is None:
        return Change(model=EXAMPLES / "models" / f"{MODEL}.zip", proto=_PROTO)
    outputs = frozen({"response": "predict"})  # the column that it was trained to predict may have another name
    return Change(model=mojo, proto=_PROTO, configuration=Configuration(outputs=outputs))


def another_model(folder: Path) -> Change:
    """Returns the model as if retrained, for the same proto: with 40 of its 50 trees it predicts differently."""
    made = folder / f"{MODEL}_of_40.zip"
    with zipfile.ZipFile(EXAMPLES / "models" / f"{MODEL}.zip") as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"n_trees = 50", b"n_trees = 40") if name == "model.ini" else content)
    return Change(model=made)


def rows() -> list[bytes]:
    """Returns the 2,000 rows of the example, as messages of the proto."""
    return [_message(row) for row in _table()]


def documents() -> list[bytes]:
    """Returns the same rows as JSON."""
    return [_document(row) for row in _table()]


def different_rows(count: int = 200_000, table: Path = _TABLE) -> list[bytes]:
    """Returns rows that all differ: each value is drawn from its column, and numbers are moved a little.

    Those of another MOJO come from its own `table`: a category that a model does not know goes the plain way.
    """
    return [_message(row) for row in _drawn(count, table)]


def different_documents(count: int) -> list[bytes]:
    """Returns the same rows as JSON."""
    return [_document(row) for row in _drawn(count)]


def _drawn(count: int, path: Path = _TABLE) -> Iterator[dict[str, str]]:
    draw, table = random.Random(0), _table(path)  # noqa: S311 - the same ones each time
    columns = {name: [row[name] for row in table] for name in table[0] if name in _NAMES}
    noise = {name: 0.0 if name in _TEXTS else 1e-3 for name in columns}

    def value(name: str) -> str:
        given = draw.choice(columns[name])
        return str(float(given) + draw.gauss(0, noise[name])) if given and noise[name] else given

    return ({name: value(name) for name in columns} for _ in range(count))


(_OPERATION,) = compile_proto(_PROTO.read_bytes(), is_descriptor_set=False).operations.values()
_FIELDS = _OPERATION.input.DESCRIPTOR.fields
_TEXTS = {field.name for field in _FIELDS if field.type == field.TYPE_STRING}
_NAMES = {field.name for field in _FIELDS}


def _table(path: Path = _TABLE) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _given(row: dict[str, str]) -> dict[str, Any]:
    return {name: text if name in _TEXTS else float(text) for name, text in row.items() if text and name in _NAMES}


def _message(row: dict[str, str]) -> bytes:
    return _OPERATION.input(**_given(row)).SerializeToString()


def _document(row: dict[str, str]) -> bytes:
    return json.dumps(_given(row)).encode()
