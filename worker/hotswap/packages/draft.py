"""Drafts a proto for a model without one: a row message of its columns, an answer of its outputs, one operation.

The shape is the one that Acumos clients know: `DataFrame{repeated DataFrameRow rows = 1}` with a scalar per column, and
`Prediction` with a repeated field per output, one element for each row; with a message for each row if an output is a
list. Every value that the model returns is in it once, except for steps on the way to others.

A name that is not a valid identifier is changed, and names that would then be equal are numbered. Where the codec does
not find the field by itself (fields.py, outputs.py), the draft lists it in `columns` or `outputs`, which belong in the
configuration.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output

_ROW, _INPUT, _OUTPUT, _ANSWER_ROW = "DataFrameRow", "DataFrame", "Prediction", "PredictionRow"
_MOST_CLASSES: Final = 64  # above it, one vector is easier to use than a field for each
_RESERVED: Final = range(19_000, 20_000)  # protobuf's own field numbers
_NAMELESS: Final = "field"
_DERIVED: Final = "confidence"  # the largest of the probabilities


class Field(NamedTuple):
    """A field to draft: the column's name, its proto type, and a comment for the reader."""

    name: str
    type: str
    comment: str = ""


class Draft(NamedTuple):
    """A proto, and the mappings that the configuration needs with it. `fields` is column -> field, for every column.

    `left_out` are the outputs that it has no field for.
    """

    text: str
    fields: Mapping[str, str]
    columns: Mapping[str, str]
    outputs: Mapping[str, str]
    answered: Sequence[Output]
    left_out: Sequence[Output]


def draft_proto(
    name: str,
    *,
    about: str,
    operations: Sequence[str],
    inputs: Sequence[Field],
    outputs: Sequence[Output] | None,
    asked: Collection[str] = (),
    is_flat: bool = False,
) -> Draft:
    """Draft the proto of a model called `name`. `outputs` None: unknown; the answer is then a string for each row.

    If there are several operations, each has its own answer, `<operation>Out`. `asked` names outputs that get a field
    although they are only steps on the way to others. `is_flat`: a message is a row, of scalars as far as the model's
    columns and outputs are, so that the gateway's /v2 can use it.
    """
    fields = valid_names(field.name for field in inputs)
    offered = outputs or [Output("prediction", 0, 1, classes=())]
    candidates = [output for output in offered if not output.is_inner or output.name in asked] or offered
    chosen = _choose(candidates, len(candidates) if is_flat else _MOST_CLASSES)
    answers = valid_names(output.name for output in chosen)
    rows = [(f"{field.type} {fields[field.name]}", field.comment) for field in inputs]
    is_by_row = not is_flat and any(output.is_list for output in chosen)
    columns = [(_output_field(output, answers[output.name], is_by_row=is_by_row or is_flat), "") for output in chosen]
    request = [] if is_flat else [_message(_INPUT, [(f"repeated {_ROW} rows", "")])]
    returned = {rpc: _OUTPUT if len(operations) == 1 else f"{rpc}Out" for rpc in operations}
    rpcs = "".join(
        f"  rpc {rpc}({_ROW if is_flat else _INPUT}) returns ({output});\n" for rpc, output in returned.items()
    )
    text = "\n\n".join(
        [
            f"// Drafted for {_one_line(about)}",
            'syntax = "proto3";',
            f"package {_identifier(name).lower()};",
            f"service {_service(name)} {{\n{rpcs}}}",
            *request,
            _message(_ROW, rows),
            *(
                _message(output, [(f"repeated {_ANSWER_ROW} rows", "")] if is_by_row else columns)
                for output in returned.values()
            ),
            *([_message(_ANSWER_ROW, columns)] if is_by_row else []),
        ]
    )
    return Draft(
        text + "\n",
        fields,
        _unfound(fields, lambda column: [column if column in fields.values() else _substituted(column)]),
        _inverted(_unfound(answers, lambda output: _same_names(output, offered))),
        chosen,
        [output for output in offered if output not in candidates],
    )


def fields_of(columns: Iterable[Column]) -> list[Field]:
    """Return the fields of a model's columns. All are optional: a missing value means something to a model."""
    return [Field(column.name, _input_type(column), _comment(column)) for column in columns]


def valid_names(names: Iterable[str]) -> dict[str, str]:
    """Map each name to an identifier that is unique even in JSON, where `a_b` and `aB` are the same.

    Names that are valid identifiers keep them; the others choose after them. No name is given to another than its own:
    a table's column would fill either.
    """
    unique = list(dict.fromkeys(names))
    used: set[str] = set()
    valid: dict[str, str] = {}
    for name in sorted(unique, key=lambda name: _identifier(name) != name):
        base = candidate = _identifier(name)
        number = 1
        while _json_name(candidate) in used or (candidate != name and candidate in unique):
            number += 1
            candidate = f"{base}_{number}"
        used.add(_json_name(candidate))
        valid[name] = candidate
    return {name: valid[name] for name in unique}


def _choose(outputs: Sequence[Output], most: int) -> list[Output]:
    """Choose outputs that cover each column of the scores once: named numbers, or a vector if these are more."""
    numbers = [output for output in outputs if not output.is_vector and output.name != _DERIVED]
    vectors = [output for output in outputs if output.is_vector]
    if len(numbers) > most:
        labels = [output for output in numbers if output.classes is not None]
        numbers, vectors = labels, [*vectors, *(output for output in numbers if output.classes is None)]
    chosen: list[Output] = []
    covered: set[int] = set()
    for output in [*numbers, *vectors]:
        places = set(range(output.start, output.stop))
        if not places <= covered:
            covered |= places
            chosen.append(output)
    return chosen


def _input_type(column: Column) -> str:
    if column.is_list:
        return {"vector": "repeated double", "wholes": "repeated int64", "texts": "repeated string"}[column.type]
    if column.type == "whole":
        return "optional int64"
    return "optional string" if column.categories is not None or column.type == "text" else "optional double"


def _output_field(output: Output, name: str, *, is_by_row: bool) -> str:
    label = "repeated" if output.is_vector or not is_by_row else "optional"
    return f"{label} {_output_type(output)} {name}"


def _output_type(output: Output) -> str:
    if output.classes is not None or output.is_text:
        return "string"
    return "int64" if output.is_whole else "double"


def _unfound(names: Mapping[str, str], find: Callable[[str], Sequence[str]]) -> dict[str, str]:
    return {name: valid for name, valid in names.items() if list(find(name)) != [valid]}


def _same_names(output: str, outputs: Sequence[Output]) -> list[str]:
    # outputs.py matches a field to an output by name, with `_` for characters that an identifier cannot have.
    substituted = _substituted(output)
    return [_substituted(other.name) for other in outputs if _substituted(other.name) == substituted]


def _inverted(names: Mapping[str, str]) -> dict[str, str]:
    return {valid: name for name, valid in names.items()}


def _message(name: str, fields: Sequence[tuple[str, str]]) -> str:
    lines = []
    for place, (field, comment) in enumerate(fields, 1):
        number = place + len(_RESERVED) if place >= _RESERVED.start else place
        lines.append(f"  {field} = {number};" + (f"  // {_one_line(comment)}" if comment else ""))
    return "\n".join([f"message {name} {{", *lines, "}"])


def _comment(column: Column) -> str:
    if column.width is not None:
        return column.kind
    return "" if column.categories is None else column.kind.removeprefix("categorical: ")


def _identifier(name: str) -> str:
    text = _substituted(name)
    return text if re.match(r"[A-Za-z]", text) else f"{_NAMELESS}_{text.lstrip('_')}".rstrip("_")


def _substituted(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _json_name(name: str) -> str:
    return name.replace("_", "").lower()


def _service(name: str) -> str:
    words = [word for word in _identifier(name).split("_") if word]
    service = "".join(word[0].upper() + word[1:] for word in words)
    return f"{service}Model" if service in (_ROW, _INPUT, _OUTPUT, _ANSWER_ROW) else service


def _one_line(text: str) -> str:
    return " ".join(text.split())
