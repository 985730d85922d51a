"""Reads a signature of MLflow: the columns and answers that it declares, and what the guest makes of each column.

Its parts are texts in JSON (mlflow.types.Schema): columns with a type, or tensors with a shape, and parameters with
their defaults.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from hotswap.runtimes.python.fields import Hint, RowFields

_COLUMNS: Final = {
    "double": "number",
    "float": "number",
    "long": "whole",
    "integer": "whole",
    "boolean": "flag",
    "string": "text",
    "datetime": "text",  # ISO 8601
}
_LISTS: Final = {"number": "numbers", "whole": "wholes", "flag": "wholes", "text": "texts"}
_TENSORS: Final = {"float": "number", "int": "whole", "uint": "whole", "bool": "flag", "str": "text", "object": "text"}
_NAMELESS: Final = ("input", "prediction")
_ROWS: Final = -1  # a shape's first size


class MlflowSignature(NamedTuple):
    """What a signature declares, as far as it does: `order` is the guest's part of it.

    `nameless`: whether the only column, and the only answer, has no name, and so goes by that of any field.
    """

    columns: Sequence[Hint] | None
    answers: Sequence[Hint] | None
    nameless: tuple[bool, bool]
    order: Mapping[str, Any]


class _Item(NamedTuple):
    """A column or tensor: `type` is MLflow's, of a tensor NumPy's; `hint` is None if no function has such values."""

    name: str
    type: str
    shape: Sequence[int] | None
    hint: str | None
    may_miss: bool


def read_signature(signature: object, *, is_of_hints: object = False) -> MlflowSignature:
    """Read MLmodel's `signature`, which may be None; `is_of_hints`: MLflow made it of type hints. Raises ValueError."""
    if is_of_hints:
        raise ValueError(
            "a signature of type hints is not served: save the model with one of columns (infer_signature)"
        )
    parts = signature if isinstance(signature, dict) else {}
    inputs, outputs = (_items(parts.get(part), part) for part in ("inputs", "outputs"))
    for item in inputs:
        if item.hint is None:
            raise ValueError(f"column `{item.name or 'input'}` is of the type {item.type}, which is not served")
    columns, answers = _hints(inputs, 0), _hints(outputs, 1)
    order = {
        "columns": [[item.name, item.type, item.shape] for item in inputs],
        "interface": [columns, answers],
        "params": {_text(param.get("name")): param.get("default") for param in _listed(parts.get("params"), "params")},
    }
    return MlflowSignature(columns, answers, (_is_nameless(inputs), _is_nameless(outputs)), order)


def named_as(hints: Sequence[Hint] | None, found: RowFields, names: Mapping[str, str]) -> Sequence[Hint] | None:
    """Return the hint of a nameless column or answer under the name of a proto's only field; `names`: path -> name.

    None, for the fields themselves, if they are several for a list of numbers: a field for each.
    """
    if hints is None:
        return None
    (hint,), is_list = hints, hints[0].type.endswith("s")
    if len(found.fields) == 1:
        ((path, part),) = found.fields
        is_flat = "." not in path and (part.is_repeated or not is_list)
        return [hint._replace(name=names.get(path, path))] if is_flat else None
    return None if is_list and not any(part.is_repeated for _, part in found.fields) else hints


def _is_nameless(items: Sequence[_Item]) -> bool:
    return len(items) == 1 and not items[0].name


def _hints(items: Sequence[_Item], place: int) -> list[Hint] | None:
    """Return the hints of columns or answers; None where several have no name, or one a type that no field has."""
    if _is_nameless(items):
        items = [items[0]._replace(name=_NAMELESS[place])]
    if not items or not all(item.name and item.hint for item in items):
        return None
    return [Hint(item.name, str(item.hint), item.may_miss) for item in items]


def _items(text: object, what: str) -> list[_Item]:
    items = [_item(each, what) for each in _listed(text, what)]
    names = [item.name for item in items]
    if any(names) and (not all(names) or len(set(names)) < len(names)):
        raise ValueError(f"the signature's {what} have columns without a name, or two of one name")
    return items


def _item(each: Mapping[str, Any], what: str) -> _Item:
    name, kind = _text(each.get("name") or ""), each.get("type")
    if kind == "tensor":
        spec = each.get("tensor-spec")
        return _tensor(name, spec if isinstance(spec, dict) else {}, what)
    may_miss = each.get("required") is False or each.get("optional") is True
    if kind == "array":
        inner = each.get("items")
        inner = inner.get("type") if isinstance(inner, dict) else inner
        one = _COLUMNS.get(inner) if isinstance(inner, str) and inner != "datetime" else None
        return _Item(name, "array", None, one and _LISTS[one], may_miss)
    return _Item(name, _text(kind), None, _COLUMNS.get(_text(kind)), may_miss)


def _tensor(name: str, spec: Mapping[str, Any], what: str) -> _Item:
    kind, shape = _text(spec.get("dtype")), spec.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= _ROWS for size in shape):
        raise ValueError(f"a tensor of the signature's {what} has no shape")
    one = _TENSORS.get(kind.rstrip("0123456789"))
    is_served = shape[:1] == [_ROWS] and (what == "outputs" or _ROWS not in shape[1:])
    hint = one if len(shape) == 1 else one and _LISTS[one]
    return _Item(name, kind if is_served else f"{kind} {shape}", shape, hint if is_served else None, False)


def _listed(text: object, what: str) -> list[Mapping[str, Any]]:
    if text is None:
        return []
    try:
        items = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        items = None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError(f"the signature's {what} are not a list in JSON")
    return items


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"the signature has {value!r:.100} for a name or a type")  # noqa: TRY004 - a file is wrong
    return value
