"""How the rows of a MOJO become its scores: score0 for a whole batch, and what H2O does beside it."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jpype
import numpy as np

from hotswap.codec.values import Matrix
from hotswap.runtimes.h2o.inputs import field_of
from hotswap.runtimes.h2o.loops import distance_loop, java_rows, score_loop, seeded_score_loop

# Rows x inputs, and an offset for each row, to rows x numbers.
Score: TypeAlias = Callable[[Matrix, Matrix], Matrix]


class Scoring(NamedTuple):
    """How a MOJO scores, how many numbers it gives for a row, and whether that is score0 and nothing else."""

    score: Score
    width: int
    is_score0: bool = False


def scorer_of(model: Any, *, has_offset: bool) -> Scoring:
    """Find how a MOJO scores."""
    kind = str(model.getClass().getSimpleName())
    if isinstance(model, jpype.JClass("hex.genmodel.IClusteringModel")):
        return Scoring(_clusters(model), int(model.getNumClusters()) + 1)
    width = int(model.getPredsSize(model.getModelCategory()))
    if kind == "GlrmMojoModel":
        # Left to itself it counts the rows, and starts each from another seed: its answers would depend on what came
        # before. Here every row is the first.
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
        # H2O's own wrapper takes a missing offset for 0.
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
    """At the threshold itself a cluster of H2O says that it is an anomaly, and the library that it is none."""

    def flagged(rows: Matrix, offsets: Matrix) -> Matrix:
        scores = score(rows, offsets)
        scores[:, 0] = scores[:, 1] >= threshold
        return scores

    return flagged


def _stratified(score: Score, strata: int) -> Score:
    """The library takes a missing stratum for the first one; a cluster of H2O gives no answer."""

    def stratified(rows: Matrix, offsets: Matrix) -> Matrix:
        scores = score(rows, offsets)
        scores[np.isnan(rows[:, :strata]).any(axis=1)] = np.nan
        return scores

    return stratified
