"""The outputs of an ONNX model: what each tensor of the graph offers to an answer.

    a label         a tensor of labels that the graph lists, or of booleans: `predict`'s names match it, if there is no
                    other one
    a number        `[N]` or `[N, 1]`; `predict`'s names match it if the model has no label, and no other number
    a text          `[N]` or `[N, 1]` of strings
    a vector        `[N, k]`, or of more dimensions, row-major: all of them, and `<name>_<i>` for each, from 0;
                    `p_<class>` for each and `probabilities` if they belong to classes
    a list          `[N, ?]`, whose length a row determines, or of strings

Sequences, maps, tensors without a first dimension for the batch and those of over MAX_ELEMENTS a row are not offered.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hotswap.codec.outputs import Output, class_names, predict_names
from hotswap.errors import ModelError
from hotswap.runtimes.onnx.columns import MAX_ELEMENTS

_PROBABILITIES: Final = ("probabilities", "probs", "class_probabilities")
_NUMBERS: Final = {"float", "double", "float16"}
_WHOLES: Final = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_TRUTHS: Final = ("False", "True")
_MAX_NAMED: Final = 4_096  # elements of a vector that have an output each


@dataclass(frozen=True, slots=True)
class TensorOutput:
    """An output of the graph, which fills `width` columns of a table from `start` on.

    `labels`: its values are these, and the table has their numbers. `is_object`: the table has its values as objects,
    lists with `is_list`.
    """

    name: str
    start: int
    width: int
    labels: tuple[str, ...] = ()
    is_object: bool = False
    is_list: bool = False

    @property
    def stop(self) -> int:
        """The column after its last."""
        return self.start + self.width

    def fill(self, values: Any, matrix: npt.NDArray[np.float64], objects: dict[int, list[Any]]) -> None:
        """Write the values of a batch to a table's parts. Raises ModelError if their shape is not that of the rows."""
        is_fit = self.is_list or values.size == len(matrix) * self.width
        if values.shape[:1] != (len(matrix),) or not is_fit:
            raise ModelError(f"output `{self.name}` has the shape {values.shape} for a batch of {len(matrix)} rows")
        if self.is_object:
            rows = values.reshape(len(matrix), -1)
            objects[self.start] = rows.tolist() if self.is_list else rows[:, 0].tolist()
        elif self.labels:
            matrix[:, self.start] = self._numbers(values.reshape(len(matrix)))
        else:
            matrix[:, self.start : self.stop] = values.reshape(len(matrix), self.width)

    def _numbers(self, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the number of each value's label; NaN for a value that is not listed."""
        known = {label: float(number) for number, label in enumerate(self.labels)}
        distinct, places = np.unique(values, return_inverse=True)
        return np.array([known.get(str(value), np.nan) for value in distinct.tolist()])[places]


def outputs_of(
    tensors: Sequence[Any], labels: Mapping[str, tuple[str, ...]], classes: Mapping[str, tuple[str, ...]]
) -> tuple[list[TensorOutput], list[Output], list[str]]:
    """Return the tensors and the outputs that they fill, and a description of each that is not offered."""
    filled: list[TensorOutput] = []
    outputs: list[Output] = []
    unoffered: list[str] = []
    start = 0
    for tensor in tensors:
        kind = tensor.type.removeprefix("tensor(").removesuffix(")")
        shape = tensor.shape
        is_known = kind in _NUMBERS | _WHOLES | {"bool", "string"}
        if not is_known or not shape or isinstance(shape[0], int) or _width(shape[1:]) > MAX_ELEMENTS:
            unoffered.append(f"{tensor.name} ({tensor.type} {shape})")
            continue
        listed = (
            labels.get(tensor.name, ()) if kind in _WHOLES | {"string"} else ()
        )  # a label that was cast is a number
        one, offered = _tensor(tensor.name, kind, shape[1:], start, listed)
        if not one.is_object and one.width == len(classes.get(tensor.name, ())) > 1:
            offered = _by_class(tensor.name, start, classes[tensor.name])
        filled.append(one)
        outputs += offered
        start += one.width
    return filled, _with_prediction(outputs), unoffered


def _tensor(
    name: str, kind: str, inner: Sequence[Any], start: int, labels: tuple[str, ...]
) -> tuple[TensorOutput, list[Output]]:
    width = _width(inner)
    if width == 1:
        bare = Output(name, start, start + 1)
        if kind == "bool" or labels:
            shown = labels or tuple(map(str.lower, _TRUTHS))
            return TensorOutput(name, start, 1, labels or _TRUTHS), [replace(bare, classes=shown)]
        if kind == "string":
            return TensorOutput(name, start, 1, is_object=True), [replace(bare, is_text=True)]
        is_whole = kind in _WHOLES
        return TensorOutput(name, start, 1, is_object=is_whole), [replace(bare, is_whole=is_whole, is_object=is_whole)]
    if width == 0 or kind == "string":
        listed = replace(Output(name, start, start + 1), is_vector=True, is_list=True, is_object=True)
        listed = replace(listed, is_text=kind == "string", is_whole=kind in _WHOLES)
        return TensorOutput(name, start, 1, is_object=True, is_list=True), [listed]
    whole = Output(name, start, start + width, is_vector=True)
    named = range(width if width <= _MAX_NAMED else 0)
    each = [Output(f"{name}_{place}", start + place, start + place + 1) for place in named]
    return TensorOutput(name, start, width), [whole, *each]


def _width(inner: Sequence[Any]) -> int:
    """Return the elements of a row; 0 if the row determines how many."""
    return math.prod(inner) if all(isinstance(size, int) for size in inner) else 0


def _by_class(name: str, start: int, classes: tuple[str, ...]) -> list[Output]:
    each = [
        Output(f"p_{label}", start + place, start + place + 1, class_names(label))
        for place, label in enumerate(classes)
    ]
    return [*each, Output(name, start, start + len(classes), _PROBABILITIES, is_vector=True, keys=classes)]


def _with_prediction(outputs: list[Output]) -> list[Output]:
    """Have the names of a prediction match the only label; without a label, the only number or text."""
    labels = [output for output in outputs if output.classes]
    plain = [output for output in outputs if not output.is_vector and not output.classes]
    chosen = labels or plain
    if len(chosen) != 1:
        return outputs
    names = (*predict_names(None), *([] if labels else ["score"]))
    return [replace(output, aliases=names) if output is chosen[0] else output for output in outputs]
