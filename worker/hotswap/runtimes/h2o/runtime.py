"""Scores H2O MOJOs in this process's JVM, with one call into Java for a whole batch.

outputs.py lists the outputs of each category of model and the field names that match them; inputs.py describes the
columns. Options of configuration.runtime:

    contributions   `true`: what each column adds to a prediction, SHAP (GBM, DRF and XGBoost, of one or two classes)
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import jpype
import numpy as np

from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import Operation
from hotswap.codec.values import Matrix, Table
from hotswap.errors import ModelError, SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.runtimes.flat.answers import parts_of
from hotswap.runtimes.flat.bridge import NotFlat, own
from hotswap.runtimes.flat.plan import SealingFlatPlan
from hotswap.runtimes.h2o import encoded, extras
from hotswap.runtimes.h2o.inputs import UNSUPPORTED_ENCODING, inputs_of
from hotswap.runtimes.h2o.outputs import CLASSIFIERS, outputs_of, shifted
from hotswap.runtimes.h2o.scorers import scorer_of
from hotswap.runtimes.h2o.words import WordEmbedding
from hotswap.runtimes.options import check_options
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
# All others silently ignore the offset, among them GLM's of several classes.
_ADD_OFFSETS: Final = {"CoxPHMojoModel", "GbmMojoModel", "GlmMojoModel", "XGBoostJavaMojoModel"}
_OPTIONS: Final = {"contributions": ("false", "true")}


def load(path: Path, configuration: Configuration) -> "H2OModel | WordEmbedding":
    """Load a MOJO from its zip, or from the folder that it was unpacked to.

    Raises SwapError: MODEL_INVALID if it is not a MOJO, MODEL_UNSUPPORTED if its category is not supported,
    CONFIGURATION_INVALID if configuration.runtime has an unknown option.
    """
    _check_options(configuration)
    has_contributions = configuration.runtime.get("contributions") == "true"
    # DRF's contributions need the importance of each column, which the MOJO holds as an attribute.
    model = _load(path, has_attributes=has_contributions)
    category = str(model.getModelCategory())
    if category not in _SERVED:
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"H2O models of category {category} are not supported")
    contributions = extras.contributions(model) if has_contributions else None
    if category == "WordEmbedding":
        return WordEmbedding(model, configuration)
    try:
        return H2OModel(model, contributions, encoded.training_of(model, path))
    except jpype.JException as error:
        raise SwapError(SwapCode.MODEL_UNSUPPORTED, f"H2O's library cannot score this model: {error}") from error


def versions(_: object) -> str:
    """Return the version of h2o-genmodel, which only its jar's name has."""
    source = jpype.JClass("hex.genmodel.GenModel").class_.getProtectionDomain().getCodeSource()
    return Path(str(source.getLocation())).stem.replace("genmodel-", "genmodel ")


class H2OModel:
    """A loaded MOJO that scores rows. `columns` are to be sent; `outputs` and `score` are of tables of its own ones.

    Where its own columns are encoded ones, and those before the encoding are known, these are to be sent; a proto may
    have either.
    """

    def __init__(self, model: Any, contributions: extras.Extra | None, training: encoded.Training | None) -> None:
        """Determine the columns and outputs. Raises SwapError MODEL_UNSUPPORTED if its MOJO cannot be scored."""
        self._model = model
        self._category: Final = str(model.getModelCategory())
        offset = _offset_of(model)
        self._has_offset: Final = offset is not None
        inputs = inputs_of(model)
        self._arrange = inputs.arrange
        raw = encoded.raw_inputs(inputs.columns, training) if training else None
        # What the own columns were accepted for stays so: they are tried first.
        self._tables: Final = [_Tables(self, inputs.columns, None, offset)]
        if raw:
            self._tables.append(_Tables(self, raw.columns, raw.arrange, offset))
        self.columns: Final[Sequence[Column]] = self._tables[-1].columns
        self.advice: Final = encoded.advice_on(inputs.columns, training) if training else ""
        self._score, width, is_score0 = scorer_of(model, has_offset=self._has_offset)
        self._scores_of_score0: Final = width if is_score0 and self._arrange is None else 0
        self._extras = [*_extras(model, self._category), *([contributions] if contributions else [])]
        outputs = outputs_of(model, self._category, width)
        for extra in self._extras:
            outputs += shifted(extra.outputs, width)
            width += extra.width
        self.outputs: Final[Sequence[Output]] = outputs

    @property
    def description(self) -> str:
        """The algorithm and the category, the columns and the outputs."""
        columns = ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        outputs = ", ".join(output.name for output in self.outputs)
        return f"H2O {_algorithm_of(self._model)}, {self._category}: {columns} -> {outputs}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan | SealingFlatPlan:
        """Return the plan of an operation: the fast path in the JVM if its rows are flat, else the fallback.

        Its rows have those columns of which the proto lacks the fewest.
        """
        plans = [(tables, RowPlan(tables, operation, configuration)) for tables in self._tables]
        tables, plan = min(plans, key=lambda each: len(each[1].decoder.problems))
        if plan.decoder.problems and self.advice:
            plan.problems = [*plan.problems, self.advice]
        if plan.problems:
            return plan
        try:
            return self._flat(tables, plan)
        except NotFlat as reason:
            plan.path = f"through Python: {reason}"
            return plan

    def _flat(self, tables: "_Tables", plan: RowPlan) -> SealingFlatPlan:
        width, sources = self._scores_of_score0, plan.decoder.sources
        if not width or tables.are_encoded:
            raise NotFlat("the model's rows are built, or scored, by more than score0")
        parts = parts_of(plan.encoder, plan.encoder.fills, width)
        scorer = own("h2o.Score0").of(self._model, len(sources), width)
        return SealingFlatPlan(plan, scorer, sources=sources, parts=parts, width=width)

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs.

        Raises ModelError with the Java exception's message if the model raises for any row.
        """
        matrix = table.matrix
        try:
            values = matrix[:, :-1] if self._has_offset else matrix
            rows = self._arrange(values) if self._arrange else values
            scores = self._score(rows, matrix[:, -1])
            more = [extra.values(rows, scores) for extra in self._extras]
        except jpype.JException as error:
            raise ModelError(f"the model raised {error}") from error
        return Table(np.hstack([scores, *more]) if more else scores)


class _Tables:
    """A model with the columns of the tables to score, the offset's last; `encode` makes the model's own of them."""

    def __init__(
        self, model: H2OModel, columns: Sequence[Column], encode: Callable[[Matrix], Matrix] | None, offset: str | None
    ) -> None:
        self._model = model
        self._encode = encode
        self._count: Final = len(columns)
        self.columns: Final[Sequence[Column]] = [*columns, *([Column(offset)] if offset else [])]

    @property
    def outputs(self) -> Sequence[Output]:
        """The outputs of each row."""
        return self._model.outputs

    @property
    def are_encoded(self) -> bool:
        """Whether they are not the model's own yet."""
        return self._encode is not None

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs. Raises ModelError as the model does."""
        if self._encode:
            matrix = table.matrix
            table = Table(np.hstack([self._encode(matrix[:, : self._count]), matrix[:, self._count :]]))
        return self._model.score(table)


def _extras(model: Any, category: str) -> list[extras.Extra]:
    if category == "AutoEncoder":
        return [extras.reconstruction_error(model)]
    if category not in CLASSIFIERS:
        return []
    calibration = extras.calibration(model)
    return [extras.confidence(model), *([calibration] if calibration else [])]


def _offset_of(model: Any) -> str | None:
    # Check the name, not requiresOffset(): that is false for models trained with an offset, which are wrong without it.
    name = model.getOffsetName()
    if name is None:
        return None
    kind = str(model.getClass().getSimpleName())
    if kind not in _ADD_OFFSETS:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"the model was trained with the offset `{name}`, which a MOJO of {_algorithm_of(model)} ignores: its "
            "predictions would be wrong; train it without one, or as GBM, GLM (of one class), XGBoost or CoxPH",
        )
    return str(name)


def _algorithm_of(model: Any) -> str:
    """Return the algorithm's name in capitals."""
    return str(model.getClass().getSimpleName()).removesuffix("MojoModel").removesuffix("Java").upper()


def _check_options(configuration: Configuration) -> None:
    check_options(configuration.runtime, "h2o", _OPTIONS)
    for name, value in configuration.runtime.items():
        if value not in _OPTIONS[name]:
            either = " or ".join(_OPTIONS[name])
            raise SwapError(
                SwapCode.CONFIGURATION_INVALID, f"the runtime h2o's option `{name}` is {value!r}; make it {either}"
            )


def _load(path: Path, *, has_attributes: bool) -> Any:
    if path.is_dir() and not (path / "model.ini").is_file():
        raise SwapError(
            SwapCode.MODEL_INVALID, "the artifact is not a readable H2O MOJO: it has no model.ini at its top level"
        )
    try:
        return jpype.JClass("hex.genmodel.MojoModel").load(os.fspath(path), has_attributes)
    except jpype.JException as error:
        if "DeeplearningMojoReader.readkv" in str(error):  # it expects an encoding's name; EnumLimited's is not written
            raise SwapError(SwapCode.MODEL_UNSUPPORTED, UNSUPPORTED_ENCODING) from error
        # A zip without a model.ini raises NullPointerException, other broken ones raise all kinds of exceptions.
        reason = re.sub(re.escape(os.fspath(path)) + "/?", "", str(error))
        raise SwapError(SwapCode.MODEL_INVALID, f"the artifact is not a readable H2O MOJO: {reason}") from error
