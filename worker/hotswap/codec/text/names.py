"""Decides which field each column of a table fills, by its name: one rule for CSV, JSON, tensors and lakes.

A name is a column of the model, which is read from a field (TextOptions.columns), or else the path of a field. Where
two names fill one field, the model's column does, and the other is passed over.

A name can be both: a proto may call the field of the column `Age` `age`, and the field of the column `age` `age_2`. The
names are then read as the model's or as the proto's, by which they fill more fields; as the model's if as many. So
`Age,age` and `age` are the model's, and `age,age_2` is the proto's.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from hotswap.codec.text.cells import find_cell
from hotswap.errors import UsageError

Columns: TypeAlias = tuple[tuple[str, str], ...]
"""Columns of a model, each with the path of the field that it is read from, from a row on."""


class Filled(NamedTuple):
    """The path of the field that each name fills, and those passed over, with the names that fill their fields."""

    paths: Mapping[str, str]
    passed_over: Mapping[str, str]

    def notes(self) -> dict[str, str]:
        """Return a note for each name that is passed over."""
        return {
            name: f"ignored {name}, since the model's column {winner} fills the same field"
            for name, winner in self.passed_over.items()
        }


def trimmed(header: Iterable[str], columns: Columns) -> list[str]:
    """Return a table's names without spaces around them, unless a column of the model has these."""
    models = dict(columns)
    return [name if name in models else name.strip(" \t") for name in header]


def assign(row: Any, names: Iterable[str], columns: Columns, find: Callable[[str], str | None] | None = None) -> Filled:
    """Return which fields of a row these names fill; `find` has the field that the proto calls so, if not its path.

    Raises:
        UsageError: two of the model's columns fill the same field.

    """
    names = list(dict.fromkeys(names))
    own = {name: path for name in names if (path := find(name) if find else _find(row, name))}
    mapping = dict(columns)
    models = {name: mapping[name] for name in names if name in mapping and _find(row, mapping[name])}
    if not models:
        return Filled(own, {})
    as_models, as_protos = {**own, **models}, {**models, **own}
    is_protos = len(set(as_protos.values())) > len(set(as_models.values()))
    paths = as_protos if is_protos else as_models
    by: dict[str, str] = {}
    for name, path in paths.items():
        if models.get(name) == path and by.setdefault(path, name) != name:
            raise UsageError(f"the columns {by[path]} and {name} fill the same field, {path}: leave one of them out")
    passed_over = {name: by[path] for name, path in paths.items() if by.get(path, name) != name}
    return Filled({name: path for name, path in paths.items() if name not in passed_over}, passed_over)


def _find(row: Any, path: str) -> str | None:
    return path if find_cell(row, path) else None
