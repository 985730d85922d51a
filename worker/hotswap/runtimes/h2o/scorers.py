"""Scores the rows of a MOJO: score0 for a whole batch, plus the steps that H2O takes outside of it."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jpype
import numpy as np

from hotswap.codec.values import Matrix
from hotswap.runtimes.h2o.inputs import field_of
from hotswap.runtimes.h2o.loops import distance_loop, java_rows, score_loop, seeded_score_loop

# (rows x inputs, an offset per row) -> rows x numbers
Score: TypeAlias = Callable[[Matrix, Matrix], Matrix]


class Scoring(NamedTuple):
    """The function that scores a MOJO, the numbers that it returns per row, and whether it is score0 alone."""

    score: Score
    width: int
    is_score0: bool = False


def scorer_of(model: Any, *, has_offset: bool) -> Scoring:
    """Return how a MOJO is scored."""
    kind = str(model.getClass().getSimpleName())
    if isinstance(model, jpype.JClass("hex.genmodel.IClusteringModel")):
        return Scoring(_clusters(model), int(model.getNumClusters()) + 1)
    width = int(model.getPredsSize(model.getModelCategory()))
    if kind == "GlrmMojoModel":
        # By itself it counts the rows and starts each one from another seed, so answers would depend on earlier
        # requests. Here every row uses the seed of the first.
        return Scoring(_plain(model, seeded_score_loop(int(model._seed)), width), width)  # noqa: SLF001 - public in Java
    score = _plain_with_offsets(model, width) if has_offset else _plain(model, score_loop(has_offset=False), width)
    if kind == "IsolationForestMojoModel" and "score" in map(str, model.getOutputNames()):
        return Scoring(_flagged(score, float(model._defaultThreshold)), width)  # noqa: SLF001
    if kind == "CoxPHMojoModel" and (strata := int(field_of(model, "_strata_len"))):
        return Scoring(_stratified(score, strata), width)
    return Scoring(score, width, is_score0=not has_offset)


def _plain(model: Any, loop: Callable[..., None], width: int) -> Score:
    def score(rows: Matrix, _: Matrix) -> Matrix:
        outputs = java_rows(np.zeros((len(rows), width)))
        loop(model, java_rows(rows), outputs)
        return np.array(outputs)

    return score


def _plain_with_offsets(model: Any, width: int) -> Score:
    loop = score_loop(has_offset=True)

    def score(rows: Matrix, offsets: Matrix) -> Matrix:
        outputs = java_rows(np.zeros((len(rows), width)))
        # H2O's own wrapper treats a missing offset as 0.
        loop(model, java_rows(rows), java_rows(np.nan_to_num(offsets)), outputs)
        return np.array(outputs)

    return score


def _clusters(model: Any) -> Score:
    loop, count = distance_loop(), int(model.getNumClusters())

    def score(rows: Matrix, _: Matrix) -> Matrix:
        distances = java_rows(np.zeros((len(rows), count)))
        clusters = jpype.JArray(jpype.JInt)(len(rows))
        loop(model, java_rows(rows), distances, clusters)
        return np.column_stack([np.array(clusters), np.array(distances)])

    return score


def _flagged(score: Score, threshold: float) -> Score:
    """Recompute the flag: at the threshold itself, an H2O cluster reports an anomaly and the library does not."""

    def flagged(rows: Matrix, offsets: Matrix) -> Matrix:
        scores = score(rows, offsets)
        scores[:, 0] = scores[:, 1] >= threshold
        return scores

    return flagged


def _stratified(score: Score, strata: int) -> Score:
    """Score NaN for a missing stratum, as an H2O cluster does; the library would use the first stratum."""

    def stratified(rows: Matrix, offsets: Matrix) -> Matrix:
        scores = score(rows, offsets)
        scores[np.isnan(rows[:, :strata]).any(axis=1)] = np.nan
        return scores

    return stratified
