"""The columns that a model was trained on, for MOJOs that name only those that H2O encoded them to.

The MOJOs of GBM, DRF, deep learning and uplift declare their categorical_encoding and hold the levels, so the library
encodes rows itself (inputs.py). Those of XGBoost, k-means and extended isolation forests do neither: the library takes
the encoded columns, and reads every one that a row lacks as missing. What they hold, by the encoding:

    OneHotExplicit   all of it: `color.blue`, `color.red`, …, `color.missing(NA)`, in the order of the levels
    EnumLimited      what a row needs: `color.top_10_levels` has the levels that were kept, and `other` for the rest
    Binary           not the levels that the bits of `color:0`, `color:1`, … number
    LabelEncoder     not the levels that the numbers of `color` stand for
    Eigen            not the projection to `color.Eigen`

H2O's FrameUtils.categoricalEncoder has the rules. The encoding, and the names of the columns before it, are in the
details of the training (experimental/modelDetails.json); if a MOJO was stripped of them, the columns' names have to do.
"""

import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from hotswap.codec.fields import Column
from hotswap.codec.values import Matrix
from hotswap.runtimes.h2o.inputs import Inputs

_UNDECLARED: Final = {"ExtendedIsolationForestMojoModel", "KMeansMojoModel", "XGBoostJavaMojoModel"}
_DETAILS: Final = "experimental/modelDetails.json"
_MAX_DETAILS: Final = 64 << 20  # bytes
_MISSING: Final = ".missing(NA)"
_LIMITED: Final = re.compile(r"(.+)\.top_(\d+)_levels", re.DOTALL)
_OTHER: Final = "other"
# The names of encoded columns, by the encoding that their MOJO does not hold.
_LOST: Final = {"Binary": re.compile(r"(.+):\d+", re.DOTALL), "Eigen": re.compile(r"(.+)\.Eigen", re.DOTALL)}
_LABELS: Final = "LabelEncoder"


class Training(NamedTuple):
    """A MOJO's record of its training: the encoding ("": unknown) and the columns before encoding (empty: unknown)."""

    encoding: str = ""
    names: Sequence[str] = ()


def training_of(model: Any, path: Path) -> Training | None:
    """Return the known training of a MOJO that does not declare its encoding; None if it declares it."""
    if str(model.getClass().getSimpleName()) not in _UNDECLARED:
        return None
    details = _details(path)
    parameters = [_object(part) for part in _list(details.get("parameters"))]
    encodings = [part.get("actual_value") for part in parameters if part.get("name") == "categorical_encoding"]
    names = _list(_object(details.get("output")).get("original_names"))
    return Training(str(encodings[0]) if encodings else "", tuple(map(str, names)))


def raw_inputs(columns: Sequence[Column], training: Training) -> Inputs | None:
    """Return the columns before the encoding; None if there was none, or if the MOJO does not hold it."""
    made = None
    if training.encoding in ("", "OneHotExplicit") and (levels := _one_hot_levels(columns, training.names)):
        made = _one_hot(columns, levels)
    elif training.encoding in ("", "EnumLimited"):
        made = _limited(columns, training.names)
    names = [column.name for column in made.columns] if made else []
    return made if len(set(names)) == len(names) else None


def advice_on(columns: Sequence[Column], training: Training) -> str:
    """Return the remedy if a MOJO lacks the tables of its encoding; empty if it has them or needs none."""
    for encoding, pattern in _LOST.items():
        matches = [match for column in columns if (match := pattern.fullmatch(column.name))]
        if matches and training.encoding in ("", encoding):
            encoded = dict.fromkeys(match[1] for match in matches)
            advice = f"send the columns that H2O made of it, as `{matches[0][0]}`"
            return _lost(encoding, "levels" if encoding == "Binary" else "projection", encoded, advice)
    if training.encoding != _LABELS:
        return ""
    return _lost(_LABELS, "levels", (), "send each category as its number there")


def _lost(encoding: str, what: str, columns: Mapping[str, Any] | Sequence[str], advice: str) -> str:
    of = f" of {', '.join(f'`{name}`' for name in columns)}" if columns else ""
    return (
        f"the model was trained with categorical_encoding {encoding}, and its MOJO does not hold the {what}{of}: "
        f"{advice}, or train it with OneHotExplicit, EnumLimited or AUTO, for which the columns are sent as they are"
    )


# ---- OneHotExplicit


def _one_hot_levels(columns: Sequence[Column], originals: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    """Return the levels of each column that was encoded, in order; None unless all columns behind the numbers fit.

    H2O puts the numbers first, and behind them `<column>.<level>` for each level and `<column>.missing(NA)`.
    """
    names = [column.name for column in columns]
    if len(set(names)) < len(names) or not any(name.endswith(_MISSING) for name in names):
        return None
    encoded = _encoded_by_details(names, originals) if originals else _encoded_by_names(names)
    place, levels = len(names) - sum(count + 1 for _, count in encoded), {}
    for name, count in encoded:
        made = names[place : place + count + 1]
        if not count or made[-1] != name + _MISSING or not all(each.startswith(f"{name}.") for each in made):
            return None
        levels[name] = tuple(each.removeprefix(f"{name}.") for each in made[:-1])
        place += count + 1
    return levels


def _encoded_by_details(names: Sequence[str], originals: Sequence[str]) -> list[tuple[str, int]]:
    """Return the encoded columns in order, each with the number of its levels."""
    ends = [name + _MISSING for name in originals if name + _MISSING in names and name + _MISSING not in originals]
    numbers = sum(name in names and name + _MISSING not in ends for name in originals)
    spans, begin = [], numbers
    for end in ends:
        spans.append((end.removesuffix(_MISSING), names.index(end) - begin))
        begin = names.index(end) + 1
    return spans


def _encoded_by_names(names: Sequence[str]) -> list[tuple[str, int]]:
    """Return the same without the original names: all in front of the first one that its name may begin."""
    spans, begin = [], 0
    for place, name in enumerate(names):
        if name.endswith(_MISSING):
            column = name.removesuffix(_MISSING)
            while not names[begin].startswith(f"{column}."):
                begin += 1
            spans.append((column, place - begin))
            begin = place + 1
    return spans


def _one_hot(columns: Sequence[Column], levels: Mapping[str, Sequence[str]]) -> Inputs:
    width = len(columns)
    numbers = width - sum(len(each) + 1 for each in levels.values())
    raw = [*columns[:numbers], *(Column(name, tuple(each)) for name, each in levels.items())]

    def arrange(matrix: Matrix) -> Matrix:
        rows = np.zeros((len(matrix), width))
        rows[:, :numbers] = matrix[:, :numbers]
        begin = numbers
        for index, column in enumerate(raw[numbers:], numbers):
            missing = len(column.categories or ())
            place = np.nan_to_num(matrix[:, index], nan=missing).astype(np.int64)
            rows[np.arange(len(rows)), begin + place] = 1
            begin += missing + 1
        return rows

    return Inputs(raw, arrange)


# ---- EnumLimited


def _limited(columns: Sequence[Column], originals: Sequence[str]) -> Inputs | None:
    """Return the columns by their names before the encoding: the same numbers, with `other` for all further levels."""
    raw = [_unlimited(column, originals) or column for column in columns]
    return None if raw == list(columns) else Inputs(raw)


def _unlimited(column: Column, originals: Sequence[str]) -> Column | None:
    match = _LIMITED.fullmatch(column.name)
    kept = column.categories or ()
    if not match or len(kept) != int(match[2]) + 1 or kept[-1] != _OTHER or column.name in originals:
        return None
    return column._replace(name=match[1], other=len(kept) - 1)


# ---- the details of the training


def _details(path: Path) -> Mapping[str, Any]:
    """Return the details in a MOJO; empty if it was stripped of them, or if they cannot be read."""
    try:
        if path.is_dir():
            return _parsed((path / _DETAILS).read_bytes())
        with zipfile.ZipFile(path) as mojo:
            return _parsed(mojo.read(_DETAILS)) if mojo.getinfo(_DETAILS).file_size <= _MAX_DETAILS else {}
    except (KeyError, OSError, RecursionError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error):
        return {}


def _parsed(text: bytes) -> Mapping[str, Any]:
    return _object(json.loads(text))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
