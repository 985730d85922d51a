"""A small pipeline to prewarm on: built from Spark's classes without training, and saved like any other."""

from pathlib import Path
from typing import Any

import jpype

from hotswap.runtimes.spark.session import session


def save_pipeline(folder: Path) -> Path:
    """Save a pipeline that reads a text `text` and a number `number`; return its folder, a new one in `folder`."""
    session()
    stages = jpype.JClass("java.util.ArrayList")([_indexer(), _assembler(), _regression(), _forest()])
    pipeline = jpype.JClass("org.apache.spark.ml.PipelineModel")("prewarm", stages)
    pipeline.write().save(f"file://{folder / 'prewarm'}")
    return folder / "prewarm"


def _indexer() -> Any:
    labels = jpype.JArray(jpype.JString)(["a", "b"])
    indexer = jpype.JClass("org.apache.spark.ml.feature.StringIndexerModel")("indexer", labels)
    return indexer.setInputCol("text").setOutputCol("index").setHandleInvalid("keep")


def _assembler() -> Any:
    columns = jpype.JArray(jpype.JString)(["index", "number"])
    return jpype.JClass("org.apache.spark.ml.feature.VectorAssembler")().setInputCols(columns).setOutputCol("features")


def _regression() -> Any:
    # A linear model and a forest: most other models load like one of the two.
    weights = jpype.JClass("org.apache.spark.ml.linalg.DenseVector")(jpype.JArray(jpype.JDouble)([1.0, 1.0]))
    return jpype.JClass("org.apache.spark.ml.classification.LogisticRegressionModel")("regression", weights, 0.0)


def _forest() -> Any:
    counts = jpype.JArray(jpype.JDouble)([1.0, 1.0])
    impurity = jpype.JClass("org.apache.spark.mllib.tree.impurity.GiniCalculator")(counts, 2)
    leaf = jpype.JClass("org.apache.spark.ml.tree.LeafNode")(0.0, 0.5, impurity)
    tree = jpype.JClass("org.apache.spark.ml.classification.DecisionTreeClassificationModel")
    trees = jpype.JArray(tree)([tree("tree", leaf, 2, 2)])
    forest = jpype.JClass("org.apache.spark.ml.classification.RandomForestClassificationModel")("forest", trees, 2, 2)
    forest.set("numTrees", jpype.JInt(1))
    for name in ("Prediction", "Probability", "RawPrediction"):
        getattr(forest, f"set{name}Col")(f"forest{name}")
    return forest
