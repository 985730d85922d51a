"""The lengths of the vectors that a Spark model reads: those that a schema states, or that its stages were fitted to.

A schema states a length as Spark does itself, in a column's metadata (`ml_attr`, `num_attrs`). Otherwise the stage
that reads a column tells it, by the length of a vector that it has fitted, or the one behind it, if it changes no
length. The objects here are Spark's Java objects.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import jpype

from hotswap.runtimes.spark.columns import inputs_of, kind_of, outputs_of

_FITTED: Final[Mapping[str, Callable[[Any], int]]] = {
    "BisectingKMeansModel": lambda model: model.clusterCenters()[0].size(),
    "BucketedRandomProjectionLSHModel": lambda model: model.randMatrix().numCols(),
    "ElementwiseProduct": lambda stage: stage.getScalingVec().size(),
    "GaussianMixtureModel": lambda model: model.gaussians()[0].mean().size(),
    "IDFModel": lambda model: model.idf().size(),
    "KMeansModel": lambda model: model.clusterCenters()[0].size(),
    "MaxAbsScalerModel": lambda model: model.maxAbs().size(),
    "MinMaxScalerModel": lambda model: model.originalMin().size(),
    "PCAModel": lambda model: model.pc().numRows(),
    "RobustScalerModel": lambda model: model.range().size(),
    "StandardScalerModel": lambda model: model.std().size(),
    "VectorSizeHint": lambda stage: stage.getSize(),
}
_COUNTS: Final = ("numFeatures", "vocabSize")
_SAME: Final = {"DCT", "Normalizer"}


def stated_width(field: Any) -> int | None:
    """Return the length of a column's vectors, as its metadata in a StructField states it; None if it does not."""
    size = int(jpype.JClass("org.apache.spark.ml.attribute.AttributeGroup").fromStructField(field).size())
    return size if size > 0 else None


def fitted_width(stages: Sequence[Any], name: str) -> int | None:
    """Return the length of the vectors that the stages read from a column; None if none of them tells."""
    for stage in stages:
        if name not in inputs_of(stage):
            continue
        width = _own(stage)
        if width is None and kind_of(stage) in _SAME:
            width = fitted_width(stages, outputs_of(stage)[0])
        if width is not None:
            return width
    return None


def _own(stage: Any) -> int | None:
    """Return the length of the vectors that a stage was fitted to."""
    if tell := _FITTED.get(kind_of(stage)):
        return int(tell(stage))
    count = next((getattr(stage, name)() for name in _COUNTS if hasattr(stage, name)), None)
    return int(count) if isinstance(count, int) and count > 0 else None
