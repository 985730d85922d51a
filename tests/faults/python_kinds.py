"""Two Python models of the irises, whose versions of NumPy clash, and of Python where there are two of those."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fakes.python_models import OWN, pythons
from faults.oracle import read_rows
from harness.fleet import EXAMPLES
from hotswap.artifacts.archive import write_zip

CLASSES = ("setosa", "versicolor", "virginica")
CENTRES = (1.46, 4.26, 5.55)
_LOCKS = Path(__file__).with_name("python_locks")
_SOURCE = """
import sys

import numpy as np

assert np.__version__.startswith("{numpy}."), np.__version__
assert "%d.%d" % sys.version_info[:2] == "{python}", sys.version
CLASSES = {classes}


def predict(model, columns):
    near = 1 / (1 + np.abs(columns["petal_length"][:, None] - np.array({centres})) ** {numpy})
    near /= near.sum(axis=1, keepdims=True)
    labels = [CLASSES[best] for best in near.argmax(axis=1)]
    return {{"species": labels, **dict(zip(CLASSES, near.T))}}
"""


def others() -> str:
    """Return the minor version of a Python of this machine other than the tests' own, or else that."""
    return [*pythons(), OWN][1]


@cache
def model(numpy: int) -> Path:
    """Return the zip of the model that needs this major version of NumPy, and for 2 the other Python."""
    python = OWN if numpy == 1 else others()
    source = _SOURCE.format(numpy=numpy, python=python, classes=CLASSES, centres=CENTRES)
    folder = tempfile.mkdtemp(prefix="hotswap-petals-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, f"petals_{numpy}.zip")
    lock = (_LOCKS / f"numpy-{numpy}.txt").read_bytes()
    write_zip(path, {"model.py": source.encode(), "requirements.txt": lock, ".python-version": python.encode()})
    return path


def predictions(numpy: int) -> Callable[[], list[dict[str, Any]]]:
    """Return what computes the answers of that model to each row of iris.csv."""

    def answers() -> list[dict[str, Any]]:
        lengths = np.array([[float(row["petal_length"])] for row in read_rows(EXAMPLES / "data" / "iris.csv")])
        near = 1 / (1 + np.abs(lengths - np.array(CENTRES)) ** numpy)
        near /= near.sum(axis=1, keepdims=True)
        return [{"species": CLASSES[int(row.argmax())]} | dict(zip(CLASSES, row.tolist(), strict=True)) for row in near]

    return answers
