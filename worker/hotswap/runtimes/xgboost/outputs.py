"""The outputs of a booster, by its objective. Any of the names matches a field: codec/outputs.py has the rules.

    binary:logistic, multi:softprob   `predict` (the most probable class, as XGBClassifier has it), `p_<class>` for
                                      each, `probabilities`; of two classes `score`, the probability of the second
    binary:hinge, multi:softmax       `predict`, the class
    reg:quantileerror                 `quantile_<alpha>` for each, and `quantiles`; of one alpha `predict`, too
    several targets                   `predict_<i>` for each, from 0, and `predictions`
    others                            `predict`, or `score`: what Booster.predict returns; of survival:cox also
                                      `hazard_ratio`, of survival:aft `survival_time`

`margin` is the prediction before the objective's link, and `predict` itself if it has none. With a link, there are
`margin_<class>` or `margin_<i>` for each of several classes or targets, and `margins`.

With `contributions` on there are `contribution_<column>` for each column, `contribution_bias` (or
`contribution_BiasTerm`) and `contributions`: all of them, the bias last; of several classes or targets
`contribution_<class>_<column>`, class after class. They add up to the margin.

Classes are called by their numbers, or as configuration.runtime `classes` calls them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

import numpy as np
import numpy.typing as npt

from hotswap.codec.outputs import Output, class_names, predict_names
from hotswap.runtimes.xgboost.file import BoosterFile

_VECTORS: Final = ("probabilities", "probs", "class_probabilities")
_OTHER_NAMES: Final = {"survival:cox": ("hazard_ratio",), "survival:aft": ("survival_time",)}
_WITHOUT_LINK: Final = {
    "binary:logitraw",
    *(f"rank:{name}" for name in ("map", "ndcg", "pairwise")),
    *(f"reg:{name}error" for name in ("absolute", "pseudohuber", "quantile", "squared", "squaredlog")),
}
_HALF: Final = 0.5


class Quantity(Enum):
    """What a booster predicts in one call."""

    VALUE = auto()
    MARGIN = auto()
    CONTRIBUTIONS = auto()


class _Head(Enum):
    """What the values of a booster are: the probability of the second class, those of all classes, or its answer."""

    BINARY = auto()
    CLASSES = auto()
    PLAIN = auto()


@dataclass(frozen=True, slots=True)
class BoosterLayout:
    """Where the predictions of a booster are in a table. `starts` has the first column of each quantity, ascending."""

    head: _Head
    outputs: Sequence[Output]
    starts: Mapping[Quantity, int]
    width: int

    def needed(self, outputs: Iterable[Output]) -> set[Quantity]:
        """Return the quantities that these outputs come from."""
        places = [*self.starts.items()][::-1]
        return {next(quantity for quantity, start in places if start <= output.start) for output in outputs}

    def fill(self, matrix: npt.NDArray[np.float64], quantity: Quantity, values: npt.NDArray[np.float32]) -> None:
        """Write a quantity, rows x its numbers, to a table's matrix."""
        start = self.starts[quantity]
        if quantity is Quantity.VALUE and self.head is not _Head.PLAIN:
            if self.head is _Head.BINARY:
                values = np.hstack([np.float32(1) - values, values])  # in floats, as XGBClassifier does
            label = values.argmax(axis=1) if self.head is _Head.CLASSES else values[:, 1] > _HALF
            matrix[:, 0] = np.where(np.isnan(values).any(axis=1), np.nan, label)
            start = 1
        matrix[:, start : start + values.shape[1]] = values


def classes_of(file: BoosterFile) -> int:
    """Return how many classes a booster tells apart, 0 if it is no classifier."""
    if file.objective in ("binary:logistic", "binary:hinge"):
        return 2 if file.targets == 1 else 0
    return file.classes if file.objective.startswith("multi:") else 0


def layout_of(file: BoosterFile, classes: Sequence[str], widths: Mapping[Quantity, int]) -> BoosterLayout:
    """Return the outputs of a booster; `widths` has how many numbers a row has of each quantity, in this order."""
    head, outputs = _head(file, classes, widths[Quantity.VALUE])
    groups = _groups(classes, widths[Quantity.MARGIN])
    starts, width = {Quantity.VALUE: 0}, max(output.stop for output in outputs)
    if file.objective not in _WITHOUT_LINK:
        starts[Quantity.MARGIN] = width
        outputs += _at(width, _margins(groups))
        width += len(groups)
    if Quantity.CONTRIBUTIONS in widths:
        starts[Quantity.CONTRIBUTIONS] = width
        outputs += _at(width, _contributions(groups, [column.name for column in file.features]))
        width += widths[Quantity.CONTRIBUTIONS]
    return BoosterLayout(head, outputs, starts, width)


def _head(file: BoosterFile, classes: Sequence[str], values: int) -> tuple[_Head, list[Output]]:
    names = predict_names(None)
    label = Output("predict", 0, 1, names, classes=tuple(classes))
    if file.objective in ("binary:logistic", "multi:softprob") and classes:
        each = [Output(f"p_{name}", place, place + 1, class_names(name)) for place, name in enumerate(classes, 1)]
        vector = Output("probabilities", 1, 1 + len(classes), _VECTORS, is_vector=True, keys=tuple(classes))
        if file.objective == "multi:softprob":
            return _Head.CLASSES, [label, *each, vector]
        return _Head.BINARY, [label, *each, vector, Output("score", 2, 3)]
    if classes:
        return _Head.PLAIN, [label]
    if values == 1:
        quantile = [f"quantile_{alpha}" for alpha in file.quantiles]
        others = _OTHER_NAMES.get(file.objective, quantile)
        margin = ["margin"] if file.objective in _WITHOUT_LINK else []
        return _Head.PLAIN, [Output("predict", 0, 1, (*names, "score", *others, *margin))]
    if len(file.quantiles) == values:
        return _Head.PLAIN, _elements([f"quantile_{alpha}" for alpha in file.quantiles], Output("quantiles", 0, 0))
    numbered = [f"predict_{number}" for number in range(values)]
    return _Head.PLAIN, _elements(numbered, Output("predictions", 0, 0, names))


def _groups(classes: Sequence[str], margins: int) -> Sequence[str]:
    """Return what tells the margins of a row apart: nothing, their classes or their numbers."""
    if margins == 1:
        return [""]
    return [f"{name}_" for name in (classes if len(classes) == margins else range(margins))]


def _margins(groups: Sequence[str]) -> list[Output]:
    # Only a step towards the prediction: a drafted proto has none, for it would take a second call for each batch.
    if len(groups) == 1:
        return [Output("margin", 0, 1, is_inner=True)]
    each = _elements([f"margin_{group}".rstrip("_") for group in groups], Output("margins", 0, 0))
    return [replace(output, is_inner=True) for output in each]


def _contributions(groups: Sequence[str], columns: Sequence[str]) -> list[Output]:
    names = [f"contribution_{group}{column}" for group in groups for column in (*columns, "bias")]
    *each, vector = _elements(names, Output("contributions", 0, 0))
    for place in range(len(columns), len(each), len(columns) + 1):
        each[place] = replace(each[place], aliases=(f"{each[place].name.removesuffix('bias')}BiasTerm",))
    return [*each, vector]


def _elements(names: Sequence[str], vector: Output) -> list[Output]:
    """Return an output for each name, and a vector of all of them."""
    each = [Output(name, place, place + 1) for place, name in enumerate(names)]
    return [*each, replace(vector, stop=len(names), is_vector=True, keys=tuple(names))]


def _at(start: int, outputs: Sequence[Output]) -> list[Output]:
    return [replace(output, start=output.start + start, stop=output.stop + start) for output in outputs]
