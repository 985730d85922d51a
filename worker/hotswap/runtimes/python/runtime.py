"""Calls functions in Python: model.py of an artefact, or an MLflow folder, in a guest process and its own environment.

The columns and answers of a function are those that its type hints declare (a TypedDict each), or MLflow's signature
(signature.py), or else the fields of the proto (fields.py). An rpc is answered by the function of its name in snake
case, the proto's only one by `predict` as well. Functions are called for real requests and samples alone: they may
count, or learn.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from hotswap.codec.fields import Column, descriptor_of
from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.sources import find_sources
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.flat.scorer import plan_of
from hotswap.runtimes.options import check_options
from hotswap.runtimes.python.calls import Guest
from hotswap.runtimes.python.fields import (
    FunctionTypes,
    Hint,
    RowFields,
    answer_type,
    columns_of,
    fields_of,
    outputs_of,
    type_of,
)
from hotswap.runtimes.python.mlmodel import read_mlmodel
from hotswap.runtimes.python.signature import named_as
from hotswap.runtimes.rows import RowPlan

_TYPES: Final = frozenset({"number", "whole", "flag", "text", "numbers", "wholes", "texts"})
_MOST: Final = 10_000
"""Of columns and of operations."""
_LONGEST: Final = 1_000


def load(path: Path, configuration: Configuration, guest: Guest, site: str) -> "PythonModel":
    """Load a model from its folder, in a guest. Raises SwapError: MODEL_INVALID with what its code raises."""
    check_options(configuration.runtime, "python", ())
    if mlflow := read_mlmodel(path):
        return PythonModel(guest, guest.load(str(path), site, mlflow.order), mlflow.signature.nameless)
    return PythonModel(guest, guest.load(str(path), site))


def versions(model: "PythonModel") -> str:
    """Return the versions of Python and NumPy, as the guest says."""
    return model.versions


class PythonModel:
    """The functions of a model, loaded in a guest."""

    columns = None
    outputs = None

    def __init__(self, guest: Guest, told: Mapping[str, Any], nameless: tuple[bool, bool] = (False, False)) -> None:
        """`told` is the guest's word on itself. Raises SwapError MODEL_INVALID if that is malformed.

        `nameless`: whether its only column, and its only answer, goes by the name of any field.
        """
        self._guest = guest
        self._nameless = nameless
        self._operations = _interfaces(told.get("operations"))
        self.versions: Final = str(told.get("versions", ""))[:100]

    @property
    def description(self) -> str:
        """The functions."""
        return f"functions in Python: {', '.join(self._operations)}"

    @property
    def functions(self) -> dict[str, FunctionTypes]:
        """The columns and answers of each function, as far as they are known."""
        return self._operations

    def try_on(self, rows: Sequence[bytes]) -> None:
        """Call each function whose answers nothing declares with rows (JSON objects), to learn what they are.

        Raises SwapError MODEL_INVALID if one raises, or does not say what it returns.
        """
        values = [json.loads(row) for row in rows]
        columns = [_sampled(name, [value.get(name) for value in values]) for name in dict.fromkeys(chain(*values))]
        for name, known in self._operations.items():
            if known.answers is not None:
                continue
            hinted = known.columns and {hint.name: hint.type for hint in known.columns}
            given = (
                [(one, hinted.get(one, kind), column) for one, kind, column in columns if one in hinted]
                if hinted
                else columns
            )
            try:
                told = self._guest.try_on(name, len(values), given)
                answers = _hints([[*answer, False] for answer in told] if isinstance(told, list) else told)
            except (ModelError, TypeError, ValueError) as error:
                raise SwapError(SwapCode.MODEL_INVALID, f"the sample cannot be scored: {error}") from error
            self._operations[name] = FunctionTypes(known.columns, answers)

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | FlatPlan:
        """Return the plan of an operation. Raises SwapError SCHEMA_MISMATCH if no function answers it."""
        name = self._function_of(operation)
        incoming, outgoing = fields_of(descriptor_of(operation.input)), fields_of(descriptor_of(operation.output))
        hinted = self._named(self._operations[name], incoming, outgoing, configuration)
        problems: list[str] = []
        if hinted.columns is None:
            problems += incoming.problems
        if hinted.answers is None:
            problems += outgoing.problems
            # A field of a nested message has an output of its path; one of that name alone may be another's.
            paths = {path: path for path, _ in outgoing.fields if "." in path}
            configuration = replace(configuration, outputs=paths | dict(configuration.outputs))
        function = _Function.of(self._guest, name, operation, configuration, hinted)
        plan = plan_of(function, operation, configuration, function.limited_to, invents=False)
        plan.problems = [*problems, *plan.problems]
        return plan

    def _named(
        self, hinted: FunctionTypes, incoming: RowFields, outgoing: RowFields, configuration: Configuration
    ) -> FunctionTypes:
        columns, answers = hinted
        if self._nameless[0]:
            called = {path: name for name, path in configuration.columns.items()}
            columns = named_as(columns, incoming, called)
        if self._nameless[1]:
            answers = named_as(answers, outgoing, configuration.outputs)
        return FunctionTypes(columns, answers)

    def _function_of(self, operation: Operation) -> str:
        rpc = operation.name
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", rpc).lower().replace(".", "_")
        fallback = ["predict"] if operation.is_only else []
        for known in (rpc, name, *fallback):
            if known in self._operations:
                return known
        known = ", ".join(self._operations)
        raise SwapError(
            SwapCode.SCHEMA_MISMATCH,
            f"rpc {rpc}: model.py has no function `{name}(model, columns)`, but {known}: name the rpc after one",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    """A function as a model that scores rows. `types` are those of its columns, `asked` its outputs that are used."""

    guest: Guest
    name: str
    columns: Sequence[Column]
    types: Sequence[str]
    outputs: Sequence[Output]
    asked: Sequence[Output]

    @classmethod
    def of(
        cls, guest: Guest, name: str, operation: Operation, configuration: Configuration, hinted: FunctionTypes
    ) -> "_Function":
        """Return the function for an operation of the proto; its plan finds what does not fit."""
        incoming, outgoing = descriptor_of(operation.input), descriptor_of(operation.output)
        columns = columns_of(incoming, configuration.columns, hinted.columns)
        match = find_sources(incoming, columns, configuration.columns)
        is_one_row = match.shape == "single"
        outputs = outputs_of(outgoing, configuration.outputs, hinted.answers, is_one_row=is_one_row)
        types = [type_of(source) for source in match.sources]
        return cls(guest=guest, name=name, columns=columns, types=types, outputs=outputs, asked=outputs)

    def limited_to(self, outputs: Sequence[Output]) -> "_Function":
        """Return the function that is asked for these outputs alone."""
        return replace(self, asked=outputs)

    def score(self, table: Table) -> Table:
        """Call the function with rows x columns; return rows x outputs. Raises ModelError."""
        rows = len(table)
        columns = [
            (column.name, kind, self._values(table, place))
            for place, (column, kind) in enumerate(zip(self.columns, self.types, strict=True))
        ]
        answers = [(output.name, answer_type(output)) for output in self.asked]
        matrix = np.full((rows, max(output.stop for output in self.outputs)), np.nan)
        objects: dict[int, Sequence[Any]] = {output.start: [] for output in self.outputs if output.is_in_objects}
        # Without rows there is nothing to ask: pandas and scikit-learn raise at empty columns.
        found = self.guest.call(self.name, rows, columns, answers) if rows else [()] * len(answers)
        for output, values in zip(self.asked, found, strict=True):
            if output.is_in_objects:
                objects[output.start] = values
            else:
                matrix[:, output.start] = values
        return Table(matrix, objects)

    def _values(self, table: Table, place: int) -> Any:
        """Return the values of a column: objects, numbers, or the names of categories."""
        if place in table.objects:
            return table.objects[place]
        numbers = table.matrix[:, place]
        if (categories := self.columns[place].categories) is None:
            return numbers
        names = np.array([*categories, None], object)
        return names[np.where(np.isnan(numbers), -1, numbers).astype(np.int64)]


def _sampled(name: str, values: Sequence[Any]) -> tuple[str, str, Sequence[Any]]:
    """Return a column of a sample with the type of its values: text unless all of them are numbers."""
    kinds = {type(value) for value in values if value is not None}
    if str in kinds or not kinds:
        return name, "text", values
    kind = "flag" if kinds == {bool} else "whole" if kinds == {int} else "number"
    return name, "number" if None in values else kind, values


def _interfaces(told: object) -> dict[str, FunctionTypes]:
    """Read what a guest says of its functions, which its model may have written. Raises SwapError MODEL_INVALID."""
    functions: dict[Any, Any] = told if isinstance(told, dict) and 0 < len(told) <= _MOST else {"": ()}
    try:
        return {_name(name): FunctionTypes(*(_hints(part) for part in parts)) for name, parts in functions.items()}
    except (TypeError, ValueError) as error:
        raise SwapError(SwapCode.MODEL_INVALID, f"the model's description of itself is malformed: {error}") from error


def _hints(told: object) -> list[Hint] | None:
    if told is None:
        return None
    if not isinstance(told, list) or not 0 < len(told) <= _MOST:
        raise ValueError("a list of columns is none")
    hints = [Hint(*each) for each in told]
    for hint in hints:
        _name(hint.name)
        if hint.type not in _TYPES or type(hint.may_miss) is not bool:
            raise ValueError("a column has no type")
    return hints


def _name(name: object) -> str:
    if not isinstance(name, str) or not name or len(name) > _LONGEST:
        raise ValueError("a name is none")
    name.encode()  # raises UnicodeEncodeError, a ValueError, for what no message could hold
    return name
