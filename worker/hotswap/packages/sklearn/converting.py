"""Converts an estimator to ONNX by skl2onnx, in each way that may fit."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

from hotswap.errors import SwapCode, SwapError
from hotswap.packages.sklearn.preparing import options_of, prepared, register
from hotswap.packages.sklearn.rows import SampleRows
from hotswap.packages.sklearn.steps import unsupported
from hotswap.runtimes.onnx import graph

_NUMBERS: Final = {"double": (DoubleTensorType, np.float64), "float": (FloatTensorType, np.float32)}
_OPSETS: Final = {"": 18, "ai.onnx.ml": 3}
"""Those that onnxruntime has had since 2023: what was converted here is to be loaded by any worker."""
_VECTOR: Final = "X"
_COLUMNS: Final = "hotswap.columns"
_CLASSES: Final = "hotswap.classes"
_QUIET: Final = 3


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An ONNX file, and what scores rows by it. `number`: the type of its numbers; `left_out`: outputs that it lost."""

    content: bytes
    number: str
    is_vector: bool
    left_out: Sequence[str]
    session: Any

    def score(self, rows: SampleRows) -> list[npt.NDArray[Any]]:
        """Return the outputs of rows."""
        _, dtype = _NUMBERS[self.number]
        columns = [values if values.dtype == object else values.astype(dtype) for values in rows.columns.values()]
        if self.is_vector:
            feeds = {_VECTOR: np.column_stack(columns)}
        else:
            feeds = {name: one.reshape(-1, 1) for name, one in zip(rows.columns, columns, strict=True)}
        return [np.asarray(one) for one in self.session.run(None, feeds)]


def candidates(model: Any, rows: SampleRows, count: int) -> Iterator[Candidate]:
    """Yield the model as ONNX files that take `rows`, the most exact one first, with at most `count` outputs.

    One vector with named elements is scored fastest; columns of several types, or taken by name, have an input each.
    Raises SwapError MODEL_UNSUPPORTED if there is none, with the steps that are to blame.
    """
    if why := unsupported(model, has_failed=False):
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, why)
    register()
    model = prepared(model)
    texts = len(rows.texts)
    is_one_type = texts in (0, len(rows.columns)) and not rows.is_text
    numbers = ["float"] if texts == len(rows.columns) else list(_NUMBERS)
    failures: list[str] = []
    for is_vector in (True, False) if is_one_type else (False,):
        found = 0
        for number in numbers:
            try:
                candidate = _convert(model, rows, number, count, is_vector=is_vector)
            except Exception as error:  # noqa: BLE001 - of any library below; the other ways may do
                failures.append(" ".join(f"{type(error).__name__}: {error}".split())[:500])
                continue
            found += 1
            yield candidate
        if found:
            return
    why = unsupported(model, has_failed=True) or f"skl2onnx cannot convert the model: {failures[0]}"
    raise SwapError(SwapCode.MODEL_UNSUPPORTED, why)


def _convert(model: Any, rows: SampleRows, number: str, count: int, *, is_vector: bool) -> Candidate:
    kind, _ = _NUMBERS[number]
    if is_vector:
        _check_names(rows)
        types = [(_VECTOR, (StringTensorType if rows.texts else kind)([None, len(rows.columns)]))]
    else:
        types = [
            (name, (StringTensorType if values.dtype == object else kind)([None, 1]))
            for name, values in rows.columns.items()
        ]
    made = convert_sklearn(model, initial_types=types, options=options_of(model), target_opset=_OPSETS)
    left_out = [output.name for output in made.graph.output[count:]]
    del made.graph.output[count:]
    if len(made.graph.output) > 1 and hasattr(model, "classes_"):
        classes = {made.graph.output[1].name: [str(label) for label in np.ravel(model.classes_).tolist()]}
        made.metadata_props.add(key=_CLASSES, value=json.dumps(classes))
    if is_vector:
        made.metadata_props.add(key=_COLUMNS, value=",".join(name.strip() for name in rows.columns))
    content = made.SerializeToString()
    return Candidate(content=content, number=number, is_vector=is_vector, left_out=left_out, session=_session(content))


def _check_names(rows: SampleRows) -> None:
    if odd := [name for name in rows.columns if "," in name]:
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"column {odd[0]!r} has a comma in its name: rename it")


def _session(content: bytes) -> Any:
    """Return a session of the file as a worker's host reads it."""
    file = Path("model.onnx")  # in the folder of this process
    file.write_bytes(content)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _QUIET
    return onnxruntime.InferenceSession(graph.read(file).content, options, providers=["CPUExecutionProvider"])
