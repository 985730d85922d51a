"""Checks the trees of a LightGBM model before the library reads them: it trusts every index in its file.

LightGBM 4.7 loops forever on a split that is its own child, reads beyond its arrays for a child, a column or a set of
categories that does not exist, and aborts the process if a list has the wrong length.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_WHOLES: Final = re.compile(r" *(?:-?\d{1,10}(?: +|$))*", re.ASCII)
_NUMBER: Final = r"[-+]?(?:\d{1,400}(?:\.\d{0,400})?(?:e[-+]?\d{1,4})?|inf|nan)"
_NUMBERS: Final = re.compile(rf" *(?:{_NUMBER}(?: +|$))*", re.ASCII | re.IGNORECASE)
_MODERATE: Final = re.compile(r" *(?:[-+]?\d{1,40}(?:\.\d{0,40})?(?:e[-+]?\d{1,2})?(?: +|$))*", re.ASCII)
"""What LightGBM reads with std::stod, which throws for a number that a double cannot hold."""
_OF_SPLITS: Final = {"threshold": _NUMBERS, "split_gain": _NUMBERS, "left_child": _WHOLES, "right_child": _WHOLES,
                     "split_feature": _WHOLES, "decision_type": _WHOLES, "internal_value": _NUMBERS,
                     "internal_weight": _NUMBERS, "internal_count": _WHOLES}  # fmt: skip
_OF_LEAVES: Final = {"leaf_value": _NUMBERS, "leaf_weight": _NUMBERS, "leaf_count": _WHOLES, "leaf_const": _MODERATE,
                     "num_features": _WHOLES}  # fmt: skip
_OF_OTHERS: Final = {"cat_boundaries": _WHOLES, "cat_threshold": _WHOLES, "leaf_features": _WHOLES,
                     "leaf_coeff": _MODERATE}  # fmt: skip
_ALONE: Final = {"num_leaves": _WHOLES, "num_cat": _WHOLES, "is_linear": _WHOLES, "shrinkage": _NUMBERS}
_PATTERNS: Final = {**_OF_SPLITS, **_OF_LEAVES, **_OF_OTHERS, **_ALONE}
_NEEDED: Final = {"threshold", "left_child", "right_child", "split_feature", "decision_type", "leaf_value"}
_CATEGORICAL: Final = 1  # this bit of a split's decision_type
_LARGEST_TYPE: Final = 15


def check_tree(text: str, columns: int) -> bool:
    """Check the lines of a tree of a model of so many columns; return whether its leaves have linear models.

    Raises ValueError, with the reason as the predicate of a sentence.
    """
    fields = _fields(text)
    leaves = _one(fields, "num_leaves")
    if leaves < 1:
        raise ValueError("has no leaves")
    splits, is_linear = leaves - 1, bool(_one(fields, "is_linear", 0))
    if not splits and not is_linear:
        _list(fields, "leaf_value", 1)
        return False
    lists = _lists(fields, splits, leaves)
    if splits:
        _check_shape(lists, splits, leaves)
        _check_columns(lists["split_feature"], columns)
    _check_categories(fields, lists)
    if is_linear:
        _check_linear(fields, lists, columns)
    return is_linear


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if not equals or name not in _PATTERNS or name in fields:
            raise ValueError(f"has a line {line[:40]!r} that no tree of LightGBM has, or has it twice")
        if not _PATTERNS[name].fullmatch(value):
            raise ValueError(
                f"has a {name} that is no list of {'whole ' * (_PATTERNS[name] is _WHOLES)}numbers in range"
            )
        fields[name] = value
    return fields


def _one(fields: Mapping[str, str], name: str, default: int | None = None) -> int:
    if name not in fields and default is not None:
        return default
    return int(_list(fields, name, 1)[0])


def _list(fields: Mapping[str, str], name: str, count: int) -> npt.NDArray[Any]:
    """Return a list of so many numbers. Raises ValueError."""
    if name not in fields:
        raise ValueError(f"has no {name}")
    kind = np.int64 if _PATTERNS[name] is _WHOLES else np.float64
    values: npt.NDArray[Any] = np.fromstring(fields[name].strip(), kind, sep=" ")  # which reads a blank text as 0
    if len(values) != count:
        raise ValueError(f"has {len(values):,} numbers in {name}; it needs {count:,}")
    return values


def _lists(fields: Mapping[str, str], splits: int, leaves: int) -> dict[str, npt.NDArray[Any]]:
    """Return the lists that have a number for each split, or for each leaf."""
    counts = {**dict.fromkeys(_OF_SPLITS, splits), **dict.fromkeys(_OF_LEAVES, leaves)}
    return {name: _list(fields, name, count) for name, count in counts.items() if name in fields or name in _NEEDED}


def _check_shape(lists: Mapping[str, npt.NDArray[Any]], splits: int, leaves: int) -> None:
    # A leaf is -1 - its number; split 0 is the root. With one parent each, what the root leads to is finite.
    children = np.sort(np.concatenate([lists["left_child"], lists["right_child"]]))
    if not np.array_equal(children, np.concatenate([np.arange(-leaves, 0), np.arange(1, splits)])):
        raise ValueError("is no tree: each of its leaves, and each split but the first, must be the child of one split")


def _check_columns(numbers: npt.NDArray[Any], columns: int) -> None:
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < columns:
        raise ValueError(f"reads column {numbers.max() if numbers.min() >= 0 else numbers.min()} of {columns}")


def _check_categories(fields: Mapping[str, str], lists: Mapping[str, npt.NDArray[Any]]) -> None:
    """Check that each categorical split has its set of categories, among all numbers in cat_threshold."""
    count = _one(fields, "num_cat")
    types = lists["decision_type"]
    if len(types) and not 0 <= types.min() <= types.max() <= _LARGEST_TYPE:
        raise ValueError(f"has a decision_type beyond 0 to {_LARGEST_TYPE}")
    places = lists["threshold"][types & _CATEGORICAL > 0]
    if not ((places >= 0) & (places < count) & (places == np.floor(places))).all():
        raise ValueError("has a categorical split without its set of categories")
    if count:
        starts = _list(fields, "cat_boundaries", count + 1)
        if starts[0] != 0 or (np.diff(starts) < 0).any():
            raise ValueError("has cat_boundaries that do not ascend from 0")
        _list(fields, "cat_threshold", int(starts[-1]))


def _check_linear(fields: Mapping[str, str], lists: Mapping[str, npt.NDArray[Any]], columns: int) -> None:
    counts = lists.get("num_features", np.zeros(1, np.int64))
    if "leaf_const" not in lists or counts.min() < 0:
        raise ValueError("has linear leaves without their constants, or with a negative number of columns")
    if total := int(counts.sum()):
        _check_columns(_list(fields, "leaf_features", total), columns)
        _list(fields, "leaf_coeff", total)
