"""Reads the text of a LightGBM model (Booster.save_model) before the library does: what it is, and that it is whole."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hotswap.errors import SwapCode, SwapError
from hotswap.runtimes.lightgbm.trees import check_tree

_NUMBERS: Final = {
    "regression", "regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma", "tweedie", "cross_entropy",
    "cross_entropy_lambda", "lambdarank", "rank_xendcg",
}  # fmt: skip
_OF_CLASSES: Final = {"multiclass", "multiclassova"}
_KEY: Final = b"pandas_categorical:"
_FIRST: Final = b"\nTree="
_END: Final = b"end of trees\n"
_PARAMETERS: Final = b"\nparameters:\n"
_CATEGORICAL: Final = re.compile(rb"\n\[categorical_feature: (\d+(?:,\d+)*)\]\n")
_CODES: Final = re.compile(r"-?\d+(?::-?\d+)*")
_TREE: Final = re.compile(rb"Tree=\d{1,9}\n([^\n]+(?:\n[^\n]+)*)\n+")
_MOST: Final = 1 << 20  # columns and classes


@dataclass(frozen=True, slots=True)
class ModelText:
    """A model that may be loaded. `content` ends with its trees: LightGBM 4.7 may crash on malformed parameters.

    `objective` is "" for one of the trainer's own. `width`: the scores of a row, one for each class. `categorical`: the
    indices of the categorical columns, and the greatest code of each. `levels`: the levels of each column that was
    categorical in pandas, in the order of those; None if the file does not say.
    """

    content: str
    version: str
    columns: tuple[str, ...]
    objective: str
    width: int
    iterations: int
    categorical: Mapping[int, int]
    levels: Sequence[Sequence[Any]] | None
    is_linear: bool

    @property
    def classes(self) -> int:
        """How many classes its objective tells apart; 0: none."""
        return 2 if self.objective == "binary" else self.width if self.objective in _OF_CLASSES else 0


def read(path: Path) -> ModelText:
    """Read a model from its file.

    Raises SwapError: MODEL_INVALID if it is not a whole model of LightGBM, MODEL_UNSUPPORTED if its objective is not
    served.
    """
    try:
        return _read(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        message = f"the artifact is no readable model of LightGBM, as Booster.save_model writes it: {error}"
        raise SwapError(SwapCode.MODEL_INVALID, message) from error


def _read(content: bytes) -> ModelText:
    if not content.startswith(b"tree\n"):
        raise ValueError(
            r"it does not begin with the line `tree`" + r", ended by \n alone" * content.startswith(b"tree")
        )
    if b"\0" in content:
        raise ValueError("it has a zero byte")
    head, found, _ = content.partition(_FIRST)
    if not found:
        raise ValueError("it has no trees")
    keys = _keys(head.decode())
    columns = tuple(filter(None, keys["feature_names"].split(" ")))
    infos = list(filter(None, keys["feature_infos"].split(" ")))
    if not len(columns) == len(infos) == _whole(keys, "max_feature_idx", least=0) + 1:
        raise ValueError("its feature_names, feature_infos and max_feature_idx are not of one number of columns")
    blocks = _blocks(content, head, keys)
    linear = [_checked(number, block, len(columns)) for number, block in enumerate(blocks)]
    width = _width(keys, len(linear))
    if _PARAMETERS in content and b"\nend of parameters\n" not in content:
        raise ValueError("it ends amid its parameters: it is cut short")
    return ModelText(
        content=b"".join([head, b"\n", *blocks, _END]).decode(),
        version=keys.get("version", ""),
        columns=columns,
        objective=keys.get("objective", "").partition(" ")[0],
        width=width,
        iterations=len(linear) // width,
        categorical=_categorical(content, infos),
        levels=_levels(content),
        is_linear=any(linear),
    )


def _keys(head: str) -> dict[str, str]:
    if "\r" in head:
        raise ValueError(r"its lines end with \r\n: restore those of the original file")
    keys: dict[str, str] = {}
    for line in head.split("\n"):
        name, _, value = line.partition("=")
        if name and name in keys:
            raise ValueError(f"it says {name} twice")
        keys[name] = value
    for name in ("feature_names", "feature_infos", "tree_sizes"):
        if name not in keys:
            raise ValueError(f"it has no {name}; save the model with LightGBM 2.2 or newer")
    return keys


def _whole(keys: Mapping[str, str], name: str, *, least: int = 1) -> int:
    value = keys.get(name, "")
    if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not least <= int(value) <= _MOST:
        raise ValueError(f"its {name} is {value[:40]!r}; it must be a whole number from {least} to {_MOST:,}")
    return int(value)


def _blocks(content: bytes, head: bytes, keys: Mapping[str, str]) -> Sequence[bytes]:
    """Return the trees, which lie one after the other, each of the size that the file says. Raises ValueError."""
    sizes = keys["tree_sizes"].split(" ")
    if not all(re.fullmatch(r"\d{1,12}", size, re.ASCII) for size in sizes):
        raise ValueError("its tree_sizes are no list of whole numbers")
    start = len(head) + 1
    blocks = []
    for size in map(int, sizes):
        blocks.append(content[start : start + size])
        start += size
    if start > len(content) or not content.startswith(_END, start):
        raise ValueError("its trees are not of the sizes in tree_sizes: it is cut short, or was edited")
    return blocks


def _checked(number: int, block: bytes, columns: int) -> bool:
    match = _TREE.fullmatch(block)
    if match is None:
        raise ValueError(f"tree {number} is not of the size in tree_sizes: the file is cut short, or was edited")
    try:
        return check_tree(match[1].decode(), columns)
    except ValueError as error:
        raise ValueError(f"tree {number} {error}") from error


def _width(keys: Mapping[str, str], trees: int) -> int:
    """Return how many scores a row has: as many as there are trees in an iteration. Raises ValueError, SwapError."""
    width, classes = _whole(keys, "num_tree_per_iteration"), _whole(keys, "num_class")
    objective, *parameters = keys.get("objective", "").split(" ")
    if objective not in {"", "custom", "binary", *_NUMBERS, *_OF_CLASSES}:
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"LightGBM's objective {objective!r} is not supported")
    own = objective in ("", "custom")
    if width != classes or trees % width or (objective not in _OF_CLASSES and not own and width != 1):
        raise ValueError(f"it has {trees:,} trees, {width:,} in an iteration, for {classes:,} classes")
    if objective in _OF_CLASSES and (width == 1 or f"num_class:{width}" not in parameters):
        raise ValueError(f"its objective {objective} is not of {width:,} classes")
    return width


def _categorical(content: bytes, infos: Sequence[str]) -> dict[int, int]:
    """Return the greatest code of each categorical column, by its index; -1 for a column of one level."""
    match = _CATEGORICAL.search(content, max(content.rfind(_PARAMETERS), 0))
    listed = {int(place) for place in match[1].split(b",")} if match else set()
    codes = {place: info for place, info in enumerate(infos) if _CODES.fullmatch(info)}
    return {
        place: max(map(int, codes[place].split(":"))) if place in codes else -1
        for place in sorted(codes.keys() | listed & set(range(len(infos))))
    }


def _levels(content: bytes) -> Sequence[Sequence[Any]] | None:
    """Return what the last line says of pandas' categories. Raises ValueError, RecursionError."""
    last = content.rstrip().rpartition(b"\n")[2]
    if not last.startswith(_KEY):
        return None
    levels = json.loads(last.removeprefix(_KEY))
    if levels is not None and not (isinstance(levels, list) and all(isinstance(each, list) for each in levels)):
        raise ValueError("its pandas_categorical is no list of levels for each column")
    return levels
