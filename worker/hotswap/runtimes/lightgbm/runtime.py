"""Scores models of LightGBM with its own library, by one thread of the CPU.

text.py says which files; columns.py what a request sends, outputs.py what an answer may have. Options of
configuration.runtime:

    columns         names of the columns, in their order, separated by commas; by default those in the file
    categories      names of the columns whose levels the file has, in their order; by default the categorical ones
    classes         names of the classes, in their order, separated by commas; by default 0, 1, … as the file has none
    iterations      which iterations of the boosting count: `10:50` are those from 10 up to 49; all by default
    contributions   `true`: what each column adds to the raw score, SHAP (not of linear trees)
    threads         how many threads score a batch, at most the CPUs that the host may use; 1 by default
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.local.cores import cores_at_hand
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.flat.scorer import plan_of
from hotswap.runtimes.lightgbm.columns import columns_of
from hotswap.runtimes.lightgbm.outputs import ScorePart, contributions_part, labels_part, number_part, raw_part
from hotswap.runtimes.lightgbm.text import ModelText, read
from hotswap.runtimes.options import check_options, whole_number
from hotswap.runtimes.rows import PartialModel, RowModel, RowPlan

_OPTIONS: Final = ("categories", "classes", "columns", "contributions", "iterations", "threads")
_RANGE: Final = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)


def load(path: Path, configuration: Configuration) -> "LightGBMModel":
    """Load a model from its file. Raises SwapError, see LightGBMModel."""
    options = configuration.runtime
    check_options(options, "lightgbm", _OPTIONS)
    threads = whole_number(configuration, "threads", 1, least=1, most=cores_at_hand())
    if options.get("contributions", "false") not in ("false", "true"):
        raise _invalid("contributions", options["contributions"], "make it false or true")
    if (iterations := options.get("iterations", "")) and not _RANGE.fullmatch(iterations):
        raise _invalid("iterations", iterations, "make it the first iteration and the one after the last, as 10:50")
    return LightGBMModel(read(path), configuration, threads)


def prepare() -> None:
    """Load LightGBM."""
    _library()


class LightGBMModel:
    """A loaded model."""

    def __init__(self, text: ModelText, configuration: Configuration, threads: int) -> None:
        """Load it.

        Raises SwapError: MODEL_UNSUPPORTED if this version of LightGBM cannot load it, CONFIGURATION_INVALID if an
        option does not fit it.
        """
        options = configuration.runtime
        self.columns = columns_of(text, _listed(options.get("columns", "")), _listed(options.get("categories", "")))
        has_contributions = options.get("contributions") == "true"
        classes = _classes(text, _listed(options.get("classes", "")))
        self._parts: Final = _parts(text, classes, [column.name for column in self.columns] * has_contributions)
        self.outputs: Final = [output for part in self._parts for output in part.outputs]
        first, stop = _iterations(text, options.get("iterations", ""))
        self._fixed: Final = {"start_iteration": first, "num_iteration": stop - first, "num_threads": threads}
        self._booster: Final = _booster(text)
        objective = text.objective or "an objective of its own"
        self._about = f"{text.version}, {objective}, {stop - first:,} iterations"

    @property
    def description(self) -> str:
        """The version of the format, the objective, the columns and the outputs."""
        columns = ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        return f"LightGBM {self._about}: {columns} -> {', '.join(output.name for output in self.outputs)}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | FlatPlan:
        """Return the plan of an operation, for which only the outputs that fill a field are computed."""
        return plan_of(self, operation, configuration, self._limited_to)

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs. Raises ModelError with LightGBM's message."""
        return self._scores(self._parts, table)

    def _limited_to(self, outputs: Sequence[Output]) -> RowModel:
        """Return the model with only the parts that these outputs are of."""
        parts = [part for part in self._parts if any(output in part.outputs for output in outputs)]
        return PartialModel(self.columns, self.outputs, lambda table: self._scores(parts, table))

    def _scores(self, parts: Sequence[ScorePart], table: Table) -> Table:
        matrix = np.full((len(table), max(output.stop for output in self.outputs)), np.nan)
        for part in parts:
            try:
                scores = self._booster.predict(table.matrix, **part.predict, **self._fixed)
            except Exception as error:  # LightGBMError, and ValueError for what is not of the expected shape
                raise ModelError(f"the model raised {error}") from error
            start = part.outputs[0].start
            matrix[:, start : start + part.width] = part.values(scores)
        return Table(matrix)


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",") if name.strip()]


def _invalid(option: str, value: str, advice: str) -> SwapError:
    return SwapError(SwapCode.CONFIGURATION_INVALID, f"configuration.runtime `{option}` is {value!r}; {advice}")


def _classes(text: ModelText, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the classes, or of the raw scores of a row."""
    count = text.classes or text.width
    if not names:
        return tuple(map(str, range(count)))
    if len(set(names)) != count or len(names) != count or count == 1:
        what = f"{count} classes" if count > 1 else "no classes"
        raise _invalid("classes", ",".join(names), f"the model has {what}: name each once, in their order")
    return tuple(names)


def _parts(text: ModelText, classes: tuple[str, ...], explained: Sequence[str]) -> list[ScorePart]:
    """Return the parts of a row's scores, one after the other. `explained`: the columns to compute contributions of."""
    scores = classes if text.width > 1 else classes[-1:]
    is_own = text.objective in ("", "custom")
    parts = [] if is_own else [labels_part(classes) if text.classes else number_part()]
    parts.append(raw_part(scores, is_all=is_own))
    if explained:
        if text.is_linear:
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                "configuration.runtime asks for contributions, which LightGBM does not compute for linear trees",
            )
        parts.append(contributions_part(explained, scores))
    placed, start = [], 0
    for part in parts:
        moved = [replace(one, start=one.start + start, stop=one.stop + start) for one in part.outputs]
        placed.append(replace(part, outputs=moved))
        start += part.width
    return placed


def _iterations(text: ModelText, value: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(value)
    first, stop = (int(match[1]), int(match[2])) if match else (0, text.iterations)
    if not first < stop <= text.iterations:
        raise _invalid("iterations", value, f"the model has the iterations 0:{text.iterations}")
    return first, stop


def _library() -> Any:
    # Before OpenMP starts: to load a model, it would start a thread for each CPU of the machine, and keep them.
    os.environ["OMP_NUM_THREADS"] = "1"
    import lightgbm  # noqa: PLC0415 - of an extra

    return lightgbm


def _booster(text: ModelText) -> Any:
    try:
        lightgbm = _library()
    except OSError as error:  # its wheel does not bring OpenMP
        raise SwapError(
            SwapCode.KIND_MISSING, f"lightgbm cannot be loaded here: {error}; on Linux, install the package libgomp1"
        ) from error
    try:
        return lightgbm.Booster(model_str=text.content)
    except lightgbm.basic.LightGBMError as error:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED, f"lightgbm {lightgbm.__version__} cannot load the model: {error}"
        ) from error
