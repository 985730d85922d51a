"""Scores rows with the trees of MOJOs (MojoForest.java) and with H2O's own score0; prints a line of JSON for each MOJO.

With `--otherwise`, H2O's score0 returns 0.5 for each tree, whatever it contains; only for 100 rows, since it is slow.
"""

import json
import sys
from typing import Any

import jpype
import numpy as np
import numpy.typing as npt

from hotswap.codec.values import Matrix
from hotswap.local.jvm import find_java
from hotswap.runtimes.h2o import loops
from hotswap.runtimes.kinds import runtime_of

ROWS = 10_000
ODD = (np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, -5e-324, 1e308, -1e308, 1.0, -1.0, 0.5)


def rows_of(model: Any, random: np.random.Generator) -> Matrix:
    """Return rows of ordinary and extreme numbers and of known levels; a tenth of the values is missing."""
    rows = random.normal(0, 2, (ROWS, int(model.nfeatures())))
    rows = np.where(random.random(rows.shape) < 0.3, np.round(rows), rows)
    rows = np.where(random.random(rows.shape) < 0.05, random.choice(ODD, rows.shape), rows)
    for column in range(rows.shape[1]):
        if (levels := model.getDomainValues(jpype.JInt(column))) is not None:
            rows[:, column] = random.integers(0, len(levels), ROWS)
    return np.where(random.random(rows.shape) < 0.1, np.nan, rows)


def forest_scores_of(forest: Any, rows: Matrix, width: int) -> npt.NDArray[np.uint64]:
    """Return the bits of the numbers that our own walk returns for each row."""
    scores = jpype.JArray(jpype.JDouble)(len(rows) * width)
    forest.score(jpype.JArray.of(np.ascontiguousarray(rows).ravel()), len(rows), scores)
    return np.asarray(scores).reshape(len(rows), width).view(np.uint64)


def scores_of(model: Any, rows: Matrix, width: int) -> npt.NDArray[np.uint64]:
    """Return the bits of the numbers that score0 returns for each row."""
    scores = loops.java_rows(np.zeros((len(rows), width)))
    loops.score_loop(has_offset=False)(model, loops.java_rows(rows), scores)
    return np.asarray(scores).view(np.uint64)


def score_otherwise(model: Any) -> None:
    field = jpype.JClass("hex.genmodel.algos.tree.SharedTreeMojoModel").class_.getDeclaredField("_scoreTree")
    field.setAccessible(True)
    field.set(model, jpype.JProxy("hex.genmodel.algos.tree.ScoreTree", dict={"scoreTree": lambda *_: 0.5}))


def main() -> None:
    jars = [str(jar) for jar in runtime_of("h2o").jars()]
    jpype.startJVM("-XX:+UseSerialGC", "-Xmx512m", jvmpath=str(find_java().library), classpath=jars)
    is_otherwise, paths = sys.argv[1] == "--otherwise", [path for path in sys.argv[1:] if path != "--otherwise"]
    for path in paths:
        model = jpype.JClass("hex.genmodel.MojoModel").load(path)
        if is_otherwise:
            score_otherwise(model)
        width = int(model.getPredsSize())
        forest = jpype.JClass("hotswap.h2o.MojoForest").of(model, model.nfeatures(), width)
        rows = rows_of(model, np.random.default_rng(0))[: 100 if is_otherwise else ROWS]
        ours = forest_scores_of(forest, rows, width) if forest else scores_of(model, rows, width)
        different = (ours != scores_of(model, rows, width)).any(axis=1)
        print(json.dumps([path, forest is not None, int(different.sum())]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
