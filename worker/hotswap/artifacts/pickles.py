"""Finds Python pickles among a model's files: whoever loads one runs the code in it, which nobody can read before.

A pickle is recognized by how it begins, also in compressed files, in zips (as PyTorch writes) and in arrays of objects
of NumPy, or by its name, or because MLflow's MLmodel says so. Code that is written to hide one hides it: model.py may
as well do itself what it would do.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from hotswap.artifacts.look import HEAD, Look
from hotswap.artifacts.mlflow import declared_pickle

_NAMES: Final = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle")
_MODERN: Final = re.compile(rb"\x80[\x02-\x05]")
_OLD: Final = re.compile(rb"\(?[cd]\w+[.\w]*\n\w+\n|\(lp0\n|\(dp0\n")
_NUMPY: Final = b"\x93NUMPY"
_OBJECTS: Final = re.compile(rb"'descr': *(?:'\|O|\[.*'\|O)")
_DEEPEST: Final = 2  # zips in zips


def first_pickle(model: Path) -> str:
    """Return the name of the first pickle in a model's folder or zip; empty if none is recognized. Raises OSError."""
    if declared := declared_pickle(model):
        return declared
    if not model.is_dir():
        with model.open("rb") as file:
            return next(_in_file(model.name, file, _DEEPEST), "")
    for path in sorted(model.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                if found := next(_in_file(path.relative_to(model).as_posix(), file, _DEEPEST), ""):
                    return found
    return ""


def _in_file(name: str, file: IO[bytes], depth: int) -> Iterator[str]:
    raw = file.read(HEAD)
    if name.lower().endswith(_NAMES) or _is_pickle(Look(Path(name), (), raw).head):
        yield name
    elif raw[:2] == b"PK" and depth:
        try:
            with zipfile.ZipFile(file) as archive:
                for entry in archive.infolist():
                    with archive.open(entry) as inner:
                        yield from (found for found in _in_file(f"{name}/{entry.filename}", inner, depth - 1))
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError):
            return


def _is_pickle(head: bytes) -> bool:
    if head.startswith(_NUMPY):
        return bool(_OBJECTS.search(head[:512]))
    return bool(_MODERN.match(head) or _OLD.match(head))
