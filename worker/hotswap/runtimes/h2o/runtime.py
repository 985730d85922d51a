"""Scores H2O MOJOs in this process's JVM, a whole batch with one crossing into it.

What each category of model gives, and by which names a field gets it, is written in h2o_outputs.py; what it takes in
h2o_inputs.py. Options of configuration.runtime:

    contributions   `true`: what each column adds to a prediction, SHAP (GBM, DRF and XGBoost, of one or two classes)
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jpype
import numpy as np

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.runtimes.h2o import extras
from hotswap.runtimes.h2o.flat import FlatPlan, NotFlat
from hotswap.runtimes.h2o.inputs import inputs_of
from hotswap.runtimes.h2o.outputs import CLASSIFIERS, outputs_of, shifted
from hotswap.runtimes.h2o.scorers import scorer_of
from hotswap.runtimes.h2o.words import WordEmbedding
from hotswap.runtimes.rows import RowPlan

_SERVED: Final = {
    *CLASSIFIERS,
    "AnomalyDetection",
    "AutoEncoder",
    "BinomialUplift",
    "Clustering",
    "CoxPH",
    "DimReduction",
    "Regression",
    "TargetEncoder",
    "WordEmbedding",
}
# All others leave it out without a word, among them GLM's of several classes.
_ADD_OFFSETS: Final = {"CoxPHMojoModel", "GbmMojoModel", "GlmMojoModel", "XGBoostJavaMojoModel"}
_OPTIONS: Final = {"contributions": ("false", "true")}


def load(path: Path, configuration: Configuration) -> "H2OModel | WordEmbedding":
    """Give the model of a MOJO: its zip, or the folder that it was unpacked to.

    Raises SwapError: MODEL_INVALID where it is no MOJO, MODEL_UNSUPPORTED where it is of a kind that is not served,
    CONFIGURATION_INVALID where configuration.runtime has an option that there is not.
    """
    _check_options(configuration)
    has_contributions = configuration.runtime.get("contributions") == "true"
    # DRF's contributions need the importance of each column, which is beside the model in its MOJO.
    model = _load(path, has_attributes=has_contributions)
    category = str(model.getModelCategory())
    if category not in _SERVED:
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"an H2O model of category {category} is not served")
    contributions = extras.contributions(model) if has_contributions else None
    if category == "WordEmbedding":
        return WordEmbedding(model, configuration)
    return H2OModel(model, contributions)


class H2OModel:
    """A loaded MOJO that scores rows. `columns` and `outputs` say what score() takes and gives."""

    def __init__(self, model: Any, contributions: extras.Extra | None) -> None:
        """Find out what it takes and gives. Raises SwapError MODEL_UNSUPPORTED where it cannot be scored so."""
        self._model = model
        self._category: Final = str(model.getModelCategory())
        self._offset: Final = _offset_of(model)
        inputs = inputs_of(model)
        self._arrange = inputs.arrange
        self.columns: Final[Sequence[Column]] = [*inputs.columns, *([Column(self._offset)] if self._offset else [])]
        self._score, width, is_score0 = scorer_of(model, has_offset=self._offset is not None)
        self._scores_of_score0: Final = width if is_score0 and self._arrange is None else 0
        self._extras = [*_extras(model, self._category), *([contributions] if contributions else [])]
        outputs = outputs_of(model, self._category, width)
        for extra in self._extras:
            outputs += shifted(extra.outputs, width)
            width += extra.width
        self.outputs: Final[Sequence[Output]] = outputs

    @property
    def description(self) -> str:
        """The algorithm and the category, what it takes and what it gives."""
        columns = ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        outputs = ", ".join(output.name for output in self.outputs)
        return f"H2O {_algorithm_of(self._model)}, {self._category}: {columns} -> {outputs}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | FlatPlan:
        """Each operation scores rows, in the JVM where they are flat."""
        plan = RowPlan(self, operation, configuration)
        if plan.problems:
            return plan
        try:
            return FlatPlan(plan, self._model, self._scores_of_score0)
        except NotFlat as reason:
            plan.path = f"through Python: {reason}"
            return plan

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs.

        Raises ModelError with the Java exception's words when any of the rows makes the model raise.
        """
        matrix = table.matrix
        try:
            given = matrix[:, :-1] if self._offset else matrix
            rows = self._arrange(given) if self._arrange else given
            scores = self._score(rows, matrix[:, -1])
            more = [extra.values(rows, scores) for extra in self._extras]
        except jpype.JException as error:
            raise ModelError(f"the model raised {error}") from error
        return Table(np.hstack([scores, *more]) if more else scores)


def _extras(model: Any, category: str) -> list[extras.Extra]:
    if category == "AutoEncoder":
        return [extras.reconstruction_error(model)]
    if category not in CLASSIFIERS:
        return []
    calibration = extras.calibration(model)
    return [extras.confidence(model), *([calibration] if calibration else [])]


def _offset_of(model: Any) -> str | None:
    # Its name, not requiresOffset(): that says no for models that were trained with one, and are wrong without it.
    name = model.getOffsetName()
    if name is None:
        return None
    kind = str(model.getClass().getSimpleName())
    if kind not in _ADD_OFFSETS:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"the model was trained with the offset `{name}`, which a MOJO of {_algorithm_of(model)} leaves out: its "
            "predictions would be wrong; train it without one, or as GBM, GLM (of one class), XGBoost or CoxPH",
        )
    return str(name)


def _algorithm_of(model: Any) -> str:
    """Give the algorithm's name, in capitals."""
    return str(model.getClass().getSimpleName()).removesuffix("MojoModel").removesuffix("Java").upper()


def _check_options(configuration: Configuration) -> None:
    for name, value in configuration.runtime.items():
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID, f"the runtime h2o has no option `{name}`; its options are: {known}"
            )
        if value not in _OPTIONS[name]:
            either = " or ".join(_OPTIONS[name])
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID, f"the runtime h2o's option `{name}` is {value!r}; make it {either}"
            )


def _load(path: Path, *, has_attributes: bool) -> Any:
    if path.is_dir() and not (path / "model.ini").is_file():
        raise SwapError(SwapCode.MODEL_INVALID, "the artifact is no H2O MOJO: it has no model.ini at its top")
    try:
        return jpype.JClass("hex.genmodel.MojoModel").load(os.fspath(path), has_attributes)
    except jpype.JException as error:
        # A zip without a model.ini raises NullPointerException, and other broken ones whatever came first.
        reason = re.sub(re.escape(os.fspath(path)) + "/?", "", str(error))
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact is no H2O MOJO that can be read: {reason}") from error
