"""Rows at the thresholds of a model's trees, where the last bit of a number decides, made from those of the sample.

A threshold of a tree behind transformers is a number of a transformed feature. It is transformed back through scalers,
imputers, selections and column transformers, which treat each number by itself; others (PCA) keep theirs from being
tried.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from hotswap.packages.sklearn.rows import SampleRows, selected
from hotswap.packages.sklearn.steps import steps_of, trees_of

_MOST: Final = 2_000
_LEAF: Final = -2


class Edges(NamedTuple):
    """The rows at `tried` of a model's `total` thresholds; None if none can be tried."""

    rows: SampleRows | None
    tried: int
    total: int


class _Edge(NamedTuple):
    column: str
    value: float


def rows_at(model: Any, rows: SampleRows) -> Edges:
    """Return rows of the sample with a number at a threshold, and at the float32 below and above it."""
    found = sorted({split for step in steps_of(model) for tree in trees_of(step.estimator) for split in _splits(*tree)})
    chosen = [found[place] for place in np.linspace(0, len(found) - 1, min(_MOST, len(found))).astype(int)]
    names = list(rows.columns)
    edges = [edge for feature, value in chosen if (edge := _traced(model, feature, value, names))]
    edges = [edge for edge in edges if rows.columns[edge.column].dtype != object and np.isfinite(edge.value)]
    if not edges:
        return Edges(None, 0, len(found))
    made = rows.taken(np.arange(4 * len(edges)) % len(rows))
    for place, edge in enumerate(edges):
        near = np.float32(edge.value)
        around = (edge.value, near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf)))
        made.columns[edge.column][4 * place : 4 * place + 4] = around
    return Edges(made, len(edges), len(found))


def _splits(tree: Any, features: Any) -> Iterator[tuple[int, float]]:
    for feature, threshold in zip(tree.feature.tolist(), tree.threshold.tolist(), strict=True):
        if feature != _LEAF:
            yield (feature if features is None else int(features[feature])), threshold


def _traced(model: Any, feature: int, value: float, columns: list[str]) -> _Edge | None:
    """Return the column, and its number, for which a feature of the last step has this value; None if unknown."""
    steps = [step for _, step in model.steps[:-1]] if isinstance(model, Pipeline) else []
    return _back(steps, feature, value, columns)


def _back(steps: list[Any], feature: int, value: float, columns: list[str]) -> _Edge | None:
    for place in range(len(steps) - 1, -1, -1):
        step = steps[place]
        if isinstance(step, ColumnTransformer):
            return _back_through_columns(step, feature, value, columns) if place == 0 else None
        moved = _inverse(step, feature, value)
        if moved is None:
            return None
        feature, value = moved
    return _Edge(columns[feature], value) if feature < len(columns) else None


def _back_through_columns(step: ColumnTransformer, feature: int, value: float, columns: list[str]) -> _Edge | None:
    for name, inner, chosen in step.transformers_:
        part = step.output_indices_[name]
        if part.start <= feature < part.stop and inner != "drop":
            names = selected(chosen, columns)
            inside = [each for _, each in inner.steps] if isinstance(inner, Pipeline) else [inner]
            return _back([each for each in inside if each != "passthrough"], feature - part.start, value, names)
    return None


def _inverse(step: Any, feature: int, value: float) -> tuple[int, float] | None:
    """Return the feature that a step reads for one that it returns, and its value before the step."""
    if isinstance(step, str) or step is None or type(step).__name__ == "FunctionTransformer":
        return feature, value  # "passthrough", or what a column transformer makes of it
    if isinstance(step, SimpleImputer):
        return (feature, value) if feature < len(step.statistics_) and not _drops(step) else None
    if isinstance(step, SelectorMixin):
        return int(step.get_support(indices=True)[feature]), value
    if not isinstance(step, OneToOneFeatureMixin) or isinstance(step, OrdinalEncoder):
        return None
    if not hasattr(step, "inverse_transform"):
        return None
    row = np.zeros((1, step.n_features_in_))
    row[0, feature] = value
    return feature, float(np.asarray(step.inverse_transform(row))[0, feature])


def _drops(imputer: SimpleImputer) -> bool:
    return imputer.statistics_.dtype == object or bool(np.isnan(imputer.statistics_).any())
