"""Scores models of XGBoost with the library itself, by one thread of the CPU.

file.py says what a file's features become, outputs.py what the outputs offer. Options of configuration.runtime:

    columns         names of the features in their order, separated by commas; by default the file's, else f0, f1, …
    classes         names of a classifier's classes in the order of their numbers, separated by commas
    iterations      `10:50`: the boosting rounds to score with, the end excluded; `0:0`: all. By default those up to the
                    best one if early stopping found one, as XGBClassifier predicts, else all
    contributions   `true`: what each column adds to the margin, SHAP
    threads         how many threads score a batch, at most the CPUs that the host may use; 1 by default
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.local.cores import cores_at_hand
from hotswap.runtimes.flat.plan import FlatPlan
from hotswap.runtimes.flat.scorer import plan_of
from hotswap.runtimes.options import check_options, whole_number
from hotswap.runtimes.rows import PartialModel, RowModel, RowPlan
from hotswap.runtimes.xgboost.file import BoosterFile, read
from hotswap.runtimes.xgboost.outputs import Quantity, classes_of, layout_of

_OPTIONS: Final = ("classes", "columns", "contributions", "iterations", "threads")
_MOST_CODES: Final = 1 << 24  # XGBoost's own bound: a float holds every whole number below it


@dataclass(frozen=True, slots=True)
class _Options:
    columns: Sequence[str]
    classes: Sequence[str]
    iterations: str
    has_contributions: bool
    threads: int


def load(path: Path, configuration: Configuration) -> "BoosterModel":
    """Load a model from its file. Raises SwapError, see BoosterModel."""
    check_options(configuration.runtime, "xgboost", _OPTIONS)
    options = _Options(
        _listed(configuration, "columns"),
        _listed(configuration, "classes"),
        configuration.runtime.get("iterations", ""),
        _has_contributions(configuration),
        whole_number(configuration, "threads", 1, least=1, most=cores_at_hand()),
    )
    if path.is_dir():
        raise SwapError(SwapCode.MODEL_INVALID, "the artifact must be one file, as booster.save_model writes it")
    return BoosterModel(bytearray(path.read_bytes()), options)


def prepare() -> None:
    """Load XGBoost."""
    import xgboost  # noqa: F401, PLC0415 - of an extra


class BoosterModel:
    """A loaded model. `columns` and `outputs` describe the tables of score()."""

    def __init__(self, content: bytearray, options: _Options) -> None:
        """Load it.

        Raises SwapError: MODEL_INVALID if it is no model, MODEL_UNSUPPORTED if it or its contributions cannot be
        scored, CONFIGURATION_INVALID if an option does not fit it.
        """
        file = read(content)
        count = classes_of(file)
        _check_count("columns", options.columns, len(file.features), "features")
        _check_count("classes", options.classes, count, "classes")
        self.columns: Final = [
            column._replace(name=name or column.name) for column, name in zip_longest(file.features, options.columns)
        ]
        self._file: Final = replace(file, features=self.columns)
        self._codes = [place for place, column in enumerate(self.columns) if column.type == "whole"]
        self._booster: Final = _Booster(content, file, options)
        quantities = [*Quantity] if options.has_contributions else [Quantity.VALUE, Quantity.MARGIN]
        classes = options.classes or [str(number) for number in range(count)]
        self._layout: Final = layout_of(self._file, classes, self._widths(quantities))
        self.outputs: Final = self._layout.outputs

    @property
    def description(self) -> str:
        """The version that saved it, booster, objective and rounds, the columns and the outputs."""
        file, columns = self._file, ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        outputs = ", ".join(output.name for output in self.outputs)
        about = f"XGBoost {file.version}, {file.booster}, {file.objective}, {self._booster.rounds}"
        return f"{about}: {columns} -> {outputs}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | FlatPlan:
        """Return the plan of an operation, for which only the outputs that fill a field are computed."""
        return plan_of(self, operation, configuration, self._limited_to)

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs. Raises ModelError with XGBoost's message."""
        return self._scores(self._layout.starts, table)

    def _limited_to(self, outputs: Sequence[Output]) -> RowModel:
        """Return the model that is asked only for what these outputs need."""
        quantities = self._layout.needed(outputs)
        return PartialModel(self.columns, self.outputs, lambda table: self._scores(quantities, table))

    def _scores(self, quantities: Iterable[Quantity], table: Table) -> Table:
        matrix = np.full((len(table), self._layout.width), np.nan)
        rows = self._rows(table)
        for quantity in quantities:
            self._layout.fill(matrix, quantity, self._booster.predict(quantity, rows))
        return Table(matrix)

    def _rows(self, table: Table) -> npt.NDArray[np.float32]:
        """Return the rows as floats, which XGBoost makes of them in any case."""
        with np.errstate(over="ignore"):  # beyond a float's range is infinite, there too
            rows = table.matrix.astype(np.float32)
        for place in self._codes:
            codes = table.objects[place]
            if any(code is not None and not 0 <= code < _MOST_CODES for code in codes):
                raise ModelError(
                    f"column `{self.columns[place].name}` takes the numbers of its categories: 0 to {_MOST_CODES - 1:,}"
                )
            rows[:, place] = [np.nan if code is None else code for code in codes]
        return rows

    def _widths(self, quantities: Iterable[Quantity]) -> Mapping[Quantity, int]:
        """Return how many numbers a row has of each quantity. Raises SwapError if XGBoost cannot predict one."""
        row = np.full((1, len(self.columns)), np.nan, np.float32)
        try:
            return {quantity: self._booster.predict(quantity, row).shape[1] for quantity in quantities}
        except ModelError as error:
            raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"XGBoost cannot score this model: {error}") from error


class _Booster:
    """The library's model, with the rounds to score with. `rounds` describes them."""

    def __init__(self, content: bytearray, file: BoosterFile, options: _Options) -> None:
        """Load it. Raises SwapError MODEL_UNSUPPORTED if XGBoost cannot, CONFIGURATION_INVALID."""
        import xgboost  # noqa: PLC0415 - of an extra

        self._threads = options.threads
        self._matrix = xgboost.DMatrix
        xgboost.set_config(nthread=options.threads)  # while it loads trees, too: a parameter is set only afterwards
        try:
            self._booster = xgboost.Booster({"nthread": self._threads}, model_file=content)
        except Exception as error:  # its own kind, and those of Python's code around it
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                f"XGBoost {xgboost.__version__} cannot load the model, saved by {file.version}: {_message(error)}",
            ) from error
        # Those of DART would have other last bits than Booster.predict's, and linear boosters have none.
        self._is_inplace = file.booster == "gbtree"
        count = self._booster.num_boosted_rounds()
        self._iterations = _iterations(options.iterations, file, count)
        start, stop = self._iterations
        self.rounds: Final = f"rounds {start} to {stop - 1} of {count}" if stop else f"{count} rounds"

    def predict(self, quantity: Quantity, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return rows x numbers. Raises ModelError with XGBoost's message."""
        try:
            values = self._predict(quantity, rows)
        except Exception as error:
            raise ModelError(f"the model raised {_message(error)}") from error
        return np.asarray(values, np.float32).reshape(len(rows), -1)

    def _predict(self, quantity: Quantity, rows: npt.NDArray[np.float32]) -> Any:
        common = {"iteration_range": self._iterations, "strict_shape": True, "validate_features": False}
        if self._is_inplace and quantity is not Quantity.CONTRIBUTIONS:
            return self._booster.inplace_predict(
                rows, predict_type="value" if quantity is Quantity.VALUE else "margin", **common
            )
        return self._booster.predict(
            self._matrix(rows, nthread=self._threads),
            output_margin=quantity is Quantity.MARGIN,
            pred_contribs=quantity is Quantity.CONTRIBUTIONS,
            **common,
        )


def _iterations(text: str, file: BoosterFile, count: int) -> tuple[int, int]:
    """Return the first of the rounds to score with, and the one after the last; 0, 0: all."""
    if not text:
        return (0, 0) if file.best_iteration is None else (0, file.best_iteration + 1)
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text)
    start, stop = (int(match[1]), int(match[2])) if match else (0, -1)
    if file.booster == "gblinear" or not (start == stop == 0 or start < stop <= count):
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `iterations` is {text!r}; make it START:STOP within the model's {count} rounds (a "
            "linear booster has none to choose from)",
        )
    return start, stop


def _listed(configuration: Configuration, option: str) -> Sequence[str]:
    return [name.strip() for name in configuration.runtime.get(option, "").split(",") if name.strip()]


def _check_count(option: str, names: Sequence[str], count: int, what: str) -> None:
    if names and len(names) != count:
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `{option}` has {len(names)} names; the model has {count} {what}",
        )


def _has_contributions(configuration: Configuration) -> bool:
    value = configuration.runtime.get("contributions", "false")
    if value not in ("false", "true"):
        raise SwapError(
            SwapCode.CONFIGURATION_INVALID,
            f"configuration.runtime `contributions` is {value!r}; make it false or true",
        )
    return value == "true"


def _message(error: Exception) -> str:
    """Return the library's message without the time, the place in its source and the stack trace."""
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", str(error).partition("\nStack trace")[0]).strip()
