"""Scores models in the format of ONNX with onnxruntime, by one thread of the CPU.

columns.py says how a request fills the inputs, outputs.py what the outputs offer. Options of configuration.runtime:

    columns     names of the elements of the model's only input, a vector, in their order, separated by commas: each is
                a column then
    threads     how many threads score a batch, at most the CPUs that the host may use; 1 by default. With more, the
                last bits of a float may depend on the size of the batch
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.local.cores import cores_at_hand
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.flat.scorer import plan_of
from hotswap.runtimes.onnx.columns import inputs_of
from hotswap.runtimes.onnx.outputs import TensorOutput, outputs_of
from hotswap.runtimes.options import check_options, whole_number
from hotswap.runtimes.rows import PartialModel, RowModel, RowPlan

if TYPE_CHECKING:
    from hotswap.runtimes.onnx.graph import Graph

_OPTIONS: Final = ("columns", "threads")
_QUIET: Final = 3
"""onnxruntime's level of logging for errors alone."""


def load(path: Path, configuration: Configuration) -> "OnnxModel":
    """Load a model from its file or folder. Raises SwapError, see OnnxModel."""
    check_options(configuration.runtime, "onnx", _OPTIONS)
    names = configuration.runtime.get("columns", "")
    threads = whole_number(configuration, "threads", 1, least=1, most=cores_at_hand())
    return OnnxModel(path, names, threads)


def prepare() -> None:
    """Load onnxruntime."""
    _library()


def versions(model: "OnnxModel") -> str:
    """Return the version of onnxruntime, and the model's IR and opsets."""
    return f"onnxruntime {_library().__version__}, {model.versions}"


class OnnxModel:
    """A loaded model. `unoffered` describes the outputs that no answer can hold, `versions` its IR and opsets."""

    def __init__(self, path: Path, names: str, threads: int) -> None:
        """Load it.

        Raises SwapError: MODEL_INVALID if it is not a model, MODEL_UNSUPPORTED if this version of onnxruntime or a
        request cannot hold it, CONFIGURATION_INVALID if the names of columns do not fit.
        """
        from hotswap.runtimes.onnx import graph  # noqa: PLC0415 - of an extra, as onnxruntime

        read = graph.read(path)
        self._session: Final = _session(read, threads)
        self._about = read.about
        self.versions: Final = read.versions
        listed = [name.strip() for name in (names or read.columns).split(",") if name.strip()]
        self._inputs, self.columns = inputs_of(self._session.get_inputs(), listed)
        self._tensors, self.outputs, self.unoffered = outputs_of(self._session.get_outputs(), read.labels, read.classes)
        if not self.outputs:
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                f"the model has no output that an answer can hold; its outputs are {', '.join(self.unoffered)}",
            )

    @property
    def description(self) -> str:
        """The producer and versions, the columns and the outputs."""
        columns = ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        return f"ONNX {self._about}: {columns} -> {', '.join(output.name for output in self.outputs)}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | FlatPlan:
        """Return the plan of an operation, for which only the outputs that fill a field are computed."""
        return plan_of(self, operation, configuration, self._limited_to)

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs. Raises ModelError with onnxruntime's message."""
        return self._scores(self._tensors, table)

    def _limited_to(self, outputs: Sequence[Output]) -> RowModel:
        """Return the model with only the tensors that these outputs are of."""
        places = {output.start for output in outputs}
        tensors = [one for one in self._tensors if places & set(range(one.start, one.stop))]
        return PartialModel(self.columns, self.outputs, lambda table: self._scores(tensors, table))

    def _scores(self, tensors: Sequence[TensorOutput], table: Table) -> Table:
        matrix = np.full((len(table), self._tensors[-1].stop), np.nan)
        objects: dict[int, list[Any]] = {}
        feeds = {one.name: one.tensor(table) for one in self._inputs}
        try:
            values = self._session.run([one.name for one in tensors], feeds)
        except Exception as error:  # onnxruntime raises its own kinds, and std::exceptions as RuntimeError
            raise ModelError(f"the model raised {_message(error)}") from error
        for one, value in zip(tensors, values, strict=True):
            one.fill(value, matrix, objects)
        return Table(matrix, objects)


def _library() -> Any:
    # Its wheels for Linux and macOS report each process and model to Microsoft from 1.29 on (onnxruntime PR 27379).
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415 - of an extra

    return onnxruntime


def _session(read: "Graph", threads: int) -> Any:
    onnxruntime = _library()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it grows to the largest batch, and keeps that
    options.log_severity_level = _QUIET
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(read.folder))
    try:
        return onnxruntime.InferenceSession(read.content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"onnxruntime {onnxruntime.__version__} cannot load the model ({read.about}): {_message(error)}",
        ) from error


def _message(error: Exception) -> str:
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error)).strip()
