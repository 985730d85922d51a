"""Scores H2O MOJOs in this process's JVM, a whole batch with one crossing into it.

Outputs by model category (what score0 fills, https://docs.h2o.ai/h2o/latest-stable/h2o-genmodel/javadoc/):

    Binomial, Multinomial, Ordinal  `predict` (by the model's own threshold), `p_<class>` for each, `probabilities`,
                                    `confidence` (of the predicted class), `score` (binomial: of the second class; else
                                    the same as confidence)
    Regression                      `predict`
    Clustering                      `predict` (the cluster's number)
    AutoEncoder                     `reconstr_<column>` for each, `reconstruction`
    AnomalyDetection                `predict` (the anomaly score), `mean_length`
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jpype
import numpy as np

from worker.codec.fields import Column
from worker.codec.outputs import Output, class_names, predict_names
from worker.codec.proto import Operation
from worker.codec.values import Matrix, Table
from worker.errors import ModelError, SwapError
from worker.generation import Configuration
from worker.runtimes.rows import RowPlan

_CLASSIFIERS: Final = {"Binomial", "Multinomial", "Ordinal"}
_SERVED: Final = {*_CLASSIFIERS, "Regression", "Clustering", "AutoEncoder", "AnomalyDetection"}
_CONFIDENCE: Final = ("confidence", "probability")
_VECTORS: Final = ("probabilities", "probs", "class_probabilities")


def load(path: Path, configuration: Configuration) -> "H2OModel":  # noqa: ARG001 - every runtime's signature
    """Give the model of a MOJO. Raises SwapError, see H2OModel."""
    return H2OModel(path)


class H2OModel:
    """A loaded MOJO. `columns` and `outputs` say what score() takes and gives."""

    def __init__(self, path: Path) -> None:
        """Load a MOJO from its zip or from the folder that it was unpacked to.

        Raises SwapError: MODEL_INVALID where it is no MOJO, MODEL_UNSUPPORTED where it is of a kind not served yet.
        """
        self._model = _load(path)
        category = self._model.getModelCategory()
        self._category: Final = str(category)
        encoding = str(self._model.getCategoricalEncoding())
        if self._category not in _SERVED:
            raise SwapError("MODEL_UNSUPPORTED", f"an H2O model of category {self._category} is not served yet")
        if encoding != "AUTO":
            raise SwapError(
                "MODEL_UNSUPPORTED", f"an H2O model trained with categorical_encoding={encoding} is not served yet"
            )
        # Its name, not requiresOffset(): that says no for models that were trained with one, and are wrong without it.
        offset = self._model.getOffsetName()
        self._offset: Final = None if offset is None else str(offset)
        self._preds: Final = int(self._model.getPredsSize(category))
        self.columns: Final[Sequence[Column]] = self._read_columns()
        self.outputs: Final[Sequence[Output]] = self._read_outputs()
        self._loop = _score_loop(has_offset=self._offset is not None)

    @property
    def description(self) -> str:
        """The algorithm and the category, what it takes and what it gives."""
        algorithm = str(self._model.getClass().getSimpleName()).removesuffix("MojoModel").upper()
        columns = ", ".join(f"{column.name} ({column.kind})" for column in self.columns)
        return f"H2O {algorithm}, {self._category}: {columns} -> {', '.join(output.name for output in self.outputs)}"

    def plan(self, operation: Operation, configuration: Configuration) -> RowPlan:
        """Each operation scores rows."""
        return RowPlan(self, operation, configuration)

    def score(self, table: Table) -> Table:
        """Score rows x columns to rows x outputs.

        Raises ModelError with the Java exception's words when any of the rows makes the model raise.
        """
        matrix = table.matrix
        # Both arrays are made anew for each batch: GLM and k-means overwrite the rows that they score.
        features = matrix[:, :-1] if self._offset else matrix
        rows = jpype.JArray.of(np.ascontiguousarray(features))
        outputs = jpype.JArray.of(np.zeros((len(matrix), self._preds)))
        try:
            if self._offset:
                # H2O's own wrapper takes a missing offset for 0.
                offsets = jpype.JArray.of(np.nan_to_num(matrix[:, -1]))
                self._loop.invokeWithArguments(self._model, rows, outputs, offsets)
            else:
                self._loop.invokeWithArguments(self._model, rows, outputs)
        except jpype.JException as error:
            raise ModelError(f"the model raised {error}") from error
        return Table(self._with_confidence(np.array(outputs)))

    def _with_confidence(self, scores: Matrix) -> Matrix:
        if self._category not in _CLASSIFIERS:
            return scores
        count, width = scores.shape
        whole = np.empty((count, width + 1))
        whole[:, :-1] = scores
        # Class 0 where there is none: the encoder refuses such a row by its label.
        whole[:, -1] = scores[np.arange(count), np.nan_to_num(scores[:, 0]).astype(np.int64) + 1]
        return whole

    def _read_columns(self) -> list[Column]:
        model = self._model
        names = [str(name) for name in model.getNames()][: int(model.nfeatures())]
        columns = []
        for index, name in enumerate(names):
            domain = model.getDomainValues(index)
            columns.append(Column(name, None if domain is None else tuple(str(value) for value in domain)))
        return [*columns, Column(self._offset)] if self._offset else columns

    def _read_outputs(self) -> list[Output]:
        model = self._model
        names = predict_names(str(model.getResponseName()) if model.isSupervised() else None)
        if self._category in _CLASSIFIERS:
            classes = tuple(str(label) for label in model.getDomainValues(model.getResponseIdx()))
            return _classifier_outputs(classes, names)
        if self._category == "Clustering":
            return [Output("predict", 0, 1, names, is_whole=True)]
        if self._category == "AutoEncoder":
            # Categorical columns are expanded to one value for each level; without them the names are the columns'.
            numeric = [column.name for column in self.columns] if self._preds == len(self.columns) else []
            each = [Output(f"reconstr_{name}", index, index + 1, (name,)) for index, name in enumerate(numeric)]
            return [*each, Output("reconstruction", 0, self._preds, is_vector=True)]
        if self._category == "AnomalyDetection":
            scored = Output("predict", 0, 1, (*names, "score", "anomaly_score", "anomaly"))
            return [scored, Output("mean_length", 1, 2)]
        return [Output("predict", 0, 1, (*names, "score"))]


def _classifier_outputs(classes: tuple[str, ...], names: tuple[str, ...]) -> list[Output]:
    confidence = len(classes) + 1
    is_binomial = len(classes) == 2  # noqa: PLR2004 - it is what binomial means
    scores = ("score",) if not is_binomial else ()
    outputs = [
        Output("predict", 0, 1, names, classes=classes),
        *(Output(f"p_{name}", number, number + 1, class_names(name)) for number, name in enumerate(classes, 1)),
        Output("probabilities", 1, len(classes) + 1, _VECTORS, is_vector=True),
        Output("confidence", confidence, confidence + 1, (*_CONFIDENCE, *scores)),
    ]
    return [*outputs, Output("score", 2, 3)] if is_binomial else outputs


def _load(path: Path) -> Any:
    if path.is_dir() and not (path / "model.ini").is_file():
        raise SwapError("MODEL_INVALID", "the artifact is no H2O MOJO: it has no model.ini at its top")
    try:
        return jpype.JClass("hex.genmodel.MojoModel").load(os.fspath(path))
    except jpype.JException as error:
        # A zip without a model.ini raises NullPointerException, and other broken ones whatever came first.
        reason = re.sub(re.escape(os.fspath(path)) + "/?", "", str(error))
        raise SwapError("MODEL_INVALID", f"the artifact is no H2O MOJO that can be read: {reason}") from error


def _score_loop(*, has_offset: bool) -> Any:
    """Put together from method handles, without Java source: for each row, model.score0(row[, offset], outputs).

    loop(GenModel, double[][] rows, double[][] outputs[, double[] offsets]) -> void
    """
    handles = jpype.JClass("java.lang.invoke.MethodHandles")
    method_type = jpype.JClass("java.lang.invoke.MethodType").methodType
    model = jpype.JClass("hex.genmodel.GenModel").class_
    row = jpype.JArray(jpype.JDouble).class_
    rows = jpype.JArray(jpype.JDouble, 2).class_
    index = jpype.JClass("java.lang.Integer").TYPE
    number = jpype.JClass("java.lang.Double").TYPE
    void = jpype.JClass("java.lang.Void").TYPE

    taken = [row, number, row] if has_offset else [row, row]
    score = handles.publicLookup().findVirtual(
        model, "score0", method_type(row, jpype.JArray(jpype.JClass("java.lang.Class"))(taken))
    )
    # From the last to the first, each argument becomes an array and an index into it.
    for place in range(len(taken), 0, -1):
        array = row if taken[place - 1] == number else rows
        score = handles.collectArguments(score, place, handles.arrayElementGetter(array))
    score = score.asType(score.type().changeReturnType(void))
    # Its arguments: model, rows, i, (offsets, i,) outputs, i. The loop's: i, model, rows, outputs(, offsets).
    if has_offset:
        loop_type = method_type(void, jpype.JArray(jpype.JClass("java.lang.Class"))([index, model, rows, rows, row]))
        body = handles.permuteArguments(score, loop_type, 1, 2, 0, 4, 0, 3, 0)
    else:
        loop_type = method_type(void, jpype.JArray(jpype.JClass("java.lang.Class"))([index, model, rows, rows]))
        body = handles.permuteArguments(score, loop_type, 1, 2, 0, 3, 0)
    count = handles.dropArguments(handles.arrayLength(rows), 0, model)
    return handles.countedLoop(count, None, body)
