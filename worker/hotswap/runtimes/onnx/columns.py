"""The columns of an ONNX model: its inputs, and how a table becomes their tensors.

    a scalar        `[N]` or `[N, 1]`: a column of the input's name: numeric, a whole number (the integer types) or text
    a vector        `[N, k]`, or of more dimensions: a list of numbers, texts or whole numbers, row-major; its elements
                    are columns by themselves if configuration.runtime `columns` names them, in their order (or the
                    model's metadata do, under `hotswap.columns`)

A missing number is NaN, which a type without NaN cannot hold: such a request is refused, as is one without a text.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hotswap.codec.fields import Column, ColumnType
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError

_FLOATS: Final = {"float": np.float32, "double": np.float64, "float16": np.float16}
_WHOLES: Final = {f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TYPES: Final[Mapping[str, Any]] = {**_FLOATS, **_WHOLES, "bool": np.bool_, "string": np.object_}
MAX_ELEMENTS: Final = 1 << 24
"""Elements of a tensor in each row: 64 MiB of floats."""
_LISTS: Final[Mapping[ColumnType, ColumnType]] = {"text": "texts", "whole": "wholes", "number": "vector"}


@dataclass(frozen=True, slots=True)
class TensorInput:
    """An input of the graph, filled from `count` columns of a table, from `first` on.

    `inner`: the dimensions of a row, -1 if a row says; none if the tensor has rows only. `is_list`: one column has them
    all.
    """

    name: str
    kind: ColumnType
    dtype: npt.DTypeLike
    inner: tuple[int, ...]
    first: int
    count: int
    is_list: bool

    def tensor(self, table: Table) -> npt.NDArray[Any]:
        """Return the tensor of a table's rows. Raises ModelError if a row has no value that it can hold."""
        shape = (len(table), *self.inner)
        if self.is_list:
            return self._typed(table.objects[self.first], shape)
        if self.kind == "number":
            numbers = table.matrix[:, self.first : self.first + self.count]
            if self.dtype is np.bool_ and not np.isin(numbers, (0, 1)).all():
                raise ModelError(f"input `{self.name}` holds true and false, 1 and 0, alone, and no missing value")
            return numbers.astype(self.dtype).reshape(shape)
        columns = [self._typed(table.objects[self.first + place], (len(table),)) for place in range(self.count)]
        return np.column_stack(columns).reshape(shape)

    def _typed(self, values: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Return the values of a column, a sequence or an array, as an array of the input's type."""
        is_array = isinstance(values, np.ndarray) and values.dtype != np.object_
        if not is_array and any(value is None for value in values):
            raise ModelError(f"input `{self.name}` has no value, and its type cannot hold a missing one")
        if is_array and values.dtype == np.int64:
            values = values.astype(object)  # of which numpy checks that the type can hold it
        try:
            return np.array(values, self.dtype).reshape(shape)
        except (ValueError, OverflowError) as error:
            raise ModelError(f"input `{self.name}` is {np.dtype(self.dtype).name}: {error}") from error


def inputs_of(tensors: Sequence[Any], names: Sequence[str]) -> tuple[list[TensorInput], list[Column]]:
    """Return the inputs and the columns of a session's input tensors; `names` are those of the elements of a vector.

    Raises SwapError MODEL_UNSUPPORTED if a request cannot hold an input, CONFIGURATION_INVALID if the names do not fit.
    """
    inputs: list[TensorInput] = []
    columns: list[Column] = []
    for tensor in tensors:
        kind, dtype = _kind(tensor)
        inner = tuple(size if isinstance(size, int) else -1 for size in tensor.shape[1:])
        _check(tensor, inner)
        count = math.prod(inner)
        own = names if len(tensors) == 1 and count == len(names) else ()
        is_list = count != 1 and not own
        inputs.append(TensorInput(tensor.name, kind, dtype, inner, len(columns), count if own else 1, is_list))
        if is_list:
            columns.append(Column(tensor.name, type=_LISTS[kind], width=count if count > 0 else None))
        else:
            columns += [Column(name, type=kind) for name in own or [tensor.name]]
    if names and len(columns) != len(names):
        shapes = ", ".join(f"`{tensor.name}` {tensor.shape}" for tensor in tensors)
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `columns` has {len(names)} names, for the elements of the model's only input; its "
            f"inputs are {shapes}",
        )
    return inputs, columns


def _kind(tensor: Any) -> tuple[ColumnType, Any]:
    name = tensor.type.removeprefix("tensor(").removesuffix(")")
    if name not in _TYPES:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"input `{tensor.name}` is {tensor.type}, which no request can hold: it holds tensors of numbers and texts",
        )
    kind: ColumnType = "text" if name == "string" else "whole" if name in _WHOLES else "number"
    return kind, _TYPES[name]


def _check(tensor: Any, inner: Sequence[int]) -> None:
    if not tensor.shape or isinstance(tensor.shape[0], int):
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"input `{tensor.name}` has the shape {tensor.shape}: export the model with a first dimension of any size, "
            "which is the batch (dynamic axes)",
        )
    if abs(math.prod(inner)) > MAX_ELEMENTS:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"input `{tensor.name}` has the shape {tensor.shape}: a row may have {MAX_ELEMENTS:,} elements at most",
        )
    if sum(size < 0 for size in inner) > 1:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"input `{tensor.name}` has the shape {tensor.shape}: only one dimension of a row may have any size",
        )
