"""Drafts the proto of a Python model: an rpc for each of its functions, whose messages are one row each.

The types come from the functions' type hints, or from a sample: its columns, and what the functions answer to its rows.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from hotswap.errors import UsageError
from hotswap.host.interface import Fields, Interface
from hotswap.packages.draft import Draft, valid_names
from hotswap.packages.sample import Sample

_TYPES: Final = {
    "number": "double",
    "whole": "int64",
    "flag": "bool",
    "text": "string",
    "numbers": "repeated double",
    "wholes": "repeated int64",
    "texts": "repeated string",
}
_READS: Final = {"int64": int, "double": float, "bool": lambda text: text.lower() == "true", "string": str}
_WHAT: Final = "declare it as a TypedDict in its type hints, pass rows with --sample data.csv, or a proto with --proto"


def rows_of(sample: Sample) -> tuple[bytes, ...]:
    """Return the rows of a sample as JSON objects, in the types of its columns, without missing values."""
    reads: Sequence[Any] = [_READS[part.type.removeprefix("optional ")] for part in sample.fields]
    names = [part.name for part in sample.fields]
    return tuple(
        json.dumps(
            {name: read(cell) if cell else None for name, read, cell in zip(names, reads, row, strict=True)}
        ).encode()
        for row in sample.rows
    )


def draft_functions(name: str, interface: Interface, sample: Sample | None) -> Draft:
    """Draft the proto of a model called `name`. Raises UsageError if the types of a function are unknown."""
    rpcs, messages = [], []
    columns: dict[str, str] = {}
    outputs: dict[str, str] = {}
    fields: dict[str, str] = {}
    is_only = len(interface.functions) == 1
    for function, (declared, returned) in interface.functions.items():
        taken = declared if declared is not None else _columns_of(sample)
        if taken is None or returned is None:
            what = "takes" if taken is None else "returns"
            raise UsageError(f"the types of what `{function}` {what} are not known: {_WHAT}")
        rpc = "".join(word[:1].upper() + word[1:] for word in function.split("_"))
        row, answer = ("Row", "Answer") if is_only else (f"{rpc}Row", f"{rpc}Answer")
        rpcs.append(f"  rpc {rpc}({row}) returns ({answer});")
        inward, outward = valid_names(one for one, *_ in taken), valid_names(one for one, *_ in returned)
        messages += [_message(row, taken, inward), _message(answer, returned, outward)]
        fields |= inward
        columns |= {column: valid for column, valid in inward.items() if column != valid}
        outputs |= {valid: output for output, valid in outward.items() if output != valid}
    text = _text(name, rpcs, messages)
    return Draft(text + "\n", fields, columns, outputs, [], [])


def _text(name: str, rpcs: Sequence[str], messages: Sequence[str]) -> str:
    service = "".join(word[:1].upper() + word[1:] for word in re.split(r"\W|_", name) if word)
    package = re.sub(r"\W", "_", name).lower()
    return "\n\n".join(
        [
            f"// Drafted for {name}, functions in Python",
            'syntax = "proto3";',
            f"package {package if package[:1].isalpha() else f'model_{package}'};",
            "\n".join([f"service {service if service[:1].isalpha() else 'Model'}Service {{", *rpcs, "}"]),
            *messages,
        ]
    )


def _columns_of(sample: Sample | None) -> Fields | None:
    if sample is None:
        return None
    kinds = {written: kind for kind, written in _TYPES.items()}
    return [
        (part.name, kinds[part.type.removeprefix("optional ")], part.type.startswith("optional "))
        for part in sample.fields
    ]


def _message(name: str, fields: Fields, names: Mapping[str, str]) -> str:
    lines = []
    for number, (field, kind, may_miss) in enumerate(fields, 1):
        label = "optional " if may_miss and not _TYPES[kind].startswith("repeated") else ""
        lines.append(f"  {label}{_TYPES[kind]} {names[field]} = {number};")
    return "\n".join([f"message {name} {{", *lines, "}"])
