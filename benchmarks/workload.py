"""The workload: a GBM of 50 trees of depth 5 on 12 columns, a second model for the same proto, and 2,000 rows."""

import csv
import zipfile
from pathlib import Path

from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto

EXAMPLES = Path(__file__).parents[1] / "examples"
MODEL = "gbm_50x5"
_PROTO = EXAMPLES / "protos" / f"{MODEL}.proto"


def first_model() -> Change:
    """Returns the GBM of 50 trees, and its proto."""
    return Change(model=EXAMPLES / "models" / f"{MODEL}.zip", proto=_PROTO)


def another_model(folder: Path) -> Change:
    """Returns the model as if retrained, for the same proto: with 40 of its 50 trees it predicts differently."""
    made = folder / f"{MODEL}_of_40.zip"
    with zipfile.ZipFile(EXAMPLES / "models" / f"{MODEL}.zip") as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"n_trees = 50", b"n_trees = 40") if name == "model.ini" else content)
    return Change(model=made)


def rows() -> list[bytes]:
    """Returns the rows, as messages of the proto."""
    (operation,) = compile_proto(_PROTO.read_bytes(), is_descriptor_set=False).operations.values()
    texts = {field.name for field in operation.input.DESCRIPTOR.fields if field.type == field.TYPE_STRING}
    names = {field.name for field in operation.input.DESCRIPTOR.fields}
    with (EXAMPLES / "data" / f"{MODEL}.csv").open(newline="") as file:
        return [
            operation.input(
                **{key: value if key in texts else float(value) for key, value in row.items() if value and key in names}
            ).SerializeToString()
            for row in csv.DictReader(file)
        ]
