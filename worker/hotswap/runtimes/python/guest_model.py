"""A model of functions in Python: model.py, the functions in it, and the types of what they take and return.

Of a guest's process, as guest.py, which says what the types are: it needs nothing but Python's library.
"""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import pathlib
import sys
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_SCALARS = {float: "number", int: "whole", bool: "flag", str: "text"}
_LISTS = {float: "numbers", int: "wholes", str: "texts"}


class FunctionModel:
    """A model of the functions in model.py: `load(folder)`, if there is one, and the operations."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Import model.py and call its `load`; whatever these raise propagates."""
        spec = importlib.util.spec_from_file_location("model", folder / "model.py")
        assert spec is not None
        assert spec.loader is not None
        sys.path.insert(0, str(folder))
        module = importlib.util.module_from_spec(spec)
        sys.modules["model"] = module
        spec.loader.exec_module(module)
        self.operations: dict[str, Callable[..., Any]] = dict(_operations(module))
        if not self.operations:
            raise ImportError("model.py has no function `predict(model, columns)`")
        self.model = module.load(folder) if hasattr(module, "load") else None

    def call(self, name: str, columns: dict[str, Any]) -> Any:
        """Call an operation."""
        return self.operations[name](self.model, columns)

    def describe(self) -> dict[str, Any]:
        """Return the columns and answers of each operation, as its type hints declare them; None where they do not."""
        return {name: [hinted(function, 1), hinted(function, None)] for name, function in self.operations.items()}


def _operations(module: Any) -> Iterable[tuple[str, Callable[..., Any]]]:
    """Yield `predict`, and each public function of the module whose first of two parameters is called `model`."""
    for name, function in vars(module).items():
        if name == "predict" and callable(function):
            yield name, function
        elif inspect.isfunction(function) and function.__module__ == "model" and not name.startswith("_"):
            parameters = list(inspect.signature(function).parameters)
            if parameters[:1] == ["model"] and len(parameters) > 1:
                yield name, function


def hinted(function: Callable[..., Any], place: int | None) -> list[list[Any]] | None:
    """Return name, type and whether it may be missing, of each item of a parameter's TypedDict, or the result's."""
    try:
        hints = typing.get_type_hints(function)
        name = "return" if place is None else list(inspect.signature(function).parameters)[place]
        items = typing.get_type_hints(hints[name]) if typing.is_typeddict(hints[name]) else {}
        return [[key, *_type(hint)] for key, hint in items.items()] or None
    except (KeyError, TypeError, ValueError, NameError, IndexError, AttributeError):
        return None


def _type(hint: Any) -> tuple[str, bool]:
    inner = [one for one in typing.get_args(hint) if one is not type(None)]
    may_miss = type(None) in typing.get_args(hint)
    if may_miss and len(inner) == 1:
        hint = inner[0]
    if typing.get_origin(hint) in (list, Sequence) and (of := typing.get_args(hint)):
        return _LISTS[of[0]], may_miss
    return _SCALARS[hint], may_miss


def told(result: Any) -> list[tuple[str, str]]:
    """Return the names of what a function returned, each with the type of its values."""
    if not (hasattr(result, "keys") and hasattr(result, "__getitem__")):
        return [("prediction", _type_of(result))]
    return [(str(name), _type_of(result[name])) for name in result.keys()]  # noqa: SIM118 - a DataFrame has columns


def _type_of(values: Any) -> str:
    values = values.tolist() if hasattr(values, "tolist") else values
    found = [value for value in values if value is not None]
    is_list = any(hasattr(value, "__len__") and not isinstance(value, str) for value in found)
    kinds = set(map(type, itertools.chain.from_iterable(found) if is_list else found))
    if kinds and all(issubclass(kind, str) for kind in kinds):
        one = "text"
    elif kinds and all(kind.__name__ in ("bool", "bool_") for kind in kinds):
        one = "whole" if is_list else "flag"
    else:
        one = "whole" if kinds and all(issubclass(kind, int) for kind in kinds) else "number"
    return f"{one}s" if is_list else one
