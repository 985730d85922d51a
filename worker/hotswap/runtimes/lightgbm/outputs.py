"""The outputs of a LightGBM model, by its objective. Any of the names matches a field: codec/outputs.py has the rules.

    binary, multiclass, multiclassova   `predict` (the most probable class, the first of equal ones), `p_<class>` for
                                        each, `probabilities`; of two classes, `score` is the second's probability
    regression, quantile, ranking, …    `predict`, or `score`
    an objective of the trainer's own   the raw scores alone; `predict` is the only one

All have `raw_score`, before the objective's transformation; of several classes, `raw_score_<class>` and `raw_scores`.
With `contributions` on, `contribution_<column>` for each column, `contribution_bias` (or `contribution_BiasTerm`) and
`contributions`: all of them, the bias last; of several classes, `contributions_<class>` for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from hotswap.codec.outputs import Output, class_names, predict_names
from hotswap.codec.values import Matrix

_VECTORS: Final = ("probs", "class_probabilities")
_NAMES: Final = (*predict_names(None), "score")


@dataclass(frozen=True, slots=True)
class ScorePart:
    """Outputs that one call of the library computes: `predict` has its options, `values` arranges what it returns."""

    outputs: Sequence[Output]
    width: int
    predict: dict[str, bool]
    values: Callable[[Any], Matrix]


def labels_part(classes: tuple[str, ...]) -> ScorePart:
    """Return the label and the probabilities of a classifier."""
    count = len(classes)
    is_binary = count == 2  # noqa: PLR2004 - what binary means

    def values(scores: Any) -> Matrix:
        each = np.column_stack([1.0 - scores, scores]) if is_binary else scores
        label = np.where(np.isnan(each).any(axis=1), np.nan, each.argmax(axis=1))
        return np.column_stack([label, each])

    outputs = [
        Output("predict", 0, 1, predict_names(None), classes=classes),
        *(Output(f"p_{name}", place, place + 1, class_names(name)) for place, name in enumerate(classes, 1)),
        Output("probabilities", 1, count + 1, _VECTORS, is_vector=True, keys=classes),
    ]
    score = [Output("score", 2, 3)] if is_binary else []
    return ScorePart([*outputs, *score], count + 1, {}, values)


def number_part() -> ScorePart:
    """Return the only number of a regression or a ranking."""
    return ScorePart([Output("predict", 0, 1, _NAMES)], 1, {}, _as_columns)


def raw_part(classes: Sequence[str], *, is_all: bool) -> ScorePart:
    """Return the raw scores, one for each class. `is_all`: the model has no other outputs."""
    count = len(classes)
    if count == 1:
        names = ("raw_score", "margin", *(("predict", *_NAMES) if is_all else ()))
        outputs = [Output(names[0], 0, 1, names[1:], is_inner=not is_all)]
    else:
        each = [Output(f"raw_score_{name}", place, place + 1) for place, name in enumerate(classes)]
        vector = Output("raw_scores", 0, count, ("margins",), is_vector=True, keys=tuple(classes))
        outputs = [replace(output, is_inner=not is_all) for output in [*each, vector]]
    return ScorePart(outputs, count, {"raw_score": True}, _as_columns)


def contributions_part(columns: Sequence[str], classes: Sequence[str]) -> ScorePart:
    """Return what each column adds to the raw score of each class (SHAP)."""
    count, names = len(columns) + 1, [*columns, "bias"]
    total = count * len(classes)
    if len(classes) == 1:
        aliases = [*[()] * len(columns), ("contribution_BiasTerm",)]
        each = [Output(f"contribution_{name}", place, place + 1, aliases[place]) for place, name in enumerate(names)]
    else:
        each = [
            Output(f"contributions_{name}", start, start + count, is_vector=True, keys=tuple(names))
            for name, start in zip(classes, range(0, total, count), strict=True)
        ]
    keys = tuple(f"contribution_{name}" for name in names) if len(classes) == 1 else None
    whole = Output("contributions", 0, total, is_vector=True, keys=keys)
    return ScorePart([*each, whole], total, {"pred_contrib": True}, _as_columns)


def _as_columns(scores: Any) -> Matrix:
    return np.asarray(scores, np.float64).reshape(len(scores), -1)
