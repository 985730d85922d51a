"""Makes MOJOs whose columns have odd names, with H2O's own predictions: about a minute.

    .venv-train/bin/python tests/models/train_odd.py      (make train sets .venv-train up)

In tests/models/odd: `<name>.zip` is a model, `<name>.csv` the rows that are scored, under the names that the model has
for their columns, and `<name>.pred.csv` what H2O itself predicts for them.
"""

import csv
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h2o
import numpy as np
import train_h2o as usual
from train import MISSING, SEED, start_h2o

FOLDER = Path(__file__).resolve().parent / "odd"
LEARNT, SCORED = 300, 40
LEVELS = ("blue", "green", "red")
TARGETS = {"binomial": "y", "multinomial": "z", "regression": "n", "clusters": None}

GBM, DRF, XGB, GLM, DEEP = usual.GBM, usual.DRF, usual.XGB, usual.GLM, usual.DEEP
TREES, NETWORK = {**usual.TREES, "ntrees": 3}, usual.NETWORK
BINOMIAL, MULTINOMIAL, GAUSSIAN = ({"family": family} for family in ("binomial", "multinomial", "gaussian"))
CLUSTERS = {"k": 3, "seed": SEED}
ATTRIBUTES = ("ByteSize", "Clear", "DESCRIPTOR", "FromString", "HasField", "MergeFrom", "SerializeToString")

# A model's name: its algorithm, options, what it predicts, and its columns, of which the last one is a category.
MODELS: Mapping[str, tuple[Any, dict[str, Any], str, Sequence[str]]] = {
    "spaces": (GBM, TREES, "binomial", ("a b", "a  b", "c d e", "the color of it")),
    "beside": (DRF, TREES, "binomial", ("a b", "a_b", "a.b", "a-b", "a_b_2", "a/b")),
    "dots": (GLM, BINOMIAL, "binomial", ("x", "x.y", "x.z", "x.y.z", ".")),
    "cases": (GBM, TREES, "multinomial", ("Age", "age", "AGE", "aGe", "COLOR")),
    "scripts": (XGB, TREES, "binomial", ("日本", "年齢", "é", "Größe", "возраст", "χρώμα")),
    "words_of_proto": (GBM, TREES, "regression", ("message", "string", "optional", "rpc", "syntax", "package")),
    "words_of_python": (DEEP, NETWORK, "binomial", ("class", "def", "self", "None", "lambda", "import")),
    "digits": (DRF, TREES, "multinomial", ("1st", "2nd Flr", "3", "1.5", "0x1")),
    "underscores": (GLM, GAUSSIAN, "regression", ("_x", "__y", "x_", "_", "a__b")),
    "field": (GBM, TREES, "binomial", ("field", "field_2", "日", "field 2", "月")),
    "long": (XGB, TREES, "regression", ("long " * 50, "long_" * 50, "l" * 300, "long " * 49 + "color")),
    "quotes": (GBM, TREES, "binomial", ('a"b', "a,b", "a'b", "a;b", "a|b", '"')),
    "spaces_around": (GLM, MULTINOMIAL, "multinomial", (" lead", "trail ", " both ", "\u00a0hard", "  color")),
    "attributes": (GBM, TREES, "binomial", ATTRIBUTES),
    "emoji": (DEEP, NETWORK, "regression", ("🙂", "🙂 2", "❤️", "👩‍🚀")),
    "json": (DRF, TREES, "regression", ("aB", "a_b", "AB", "a_B", "aB2", "ab")),
    "signs": (GBM, TREES, "multinomial", ("a/b", "%", "$x", "a#", "a=b", "a:b", "a\\b")),
    "drafted": (XGB, TREES, "multinomial", ("rows", "DataFrameRow", "DataFrame", "Prediction", "predict", "p_yes")),
    "swapped": (GBM, TREES, "binomial", ("Age", "age", "age_2", "age_3", "age 2", "A_ge")),
    "brackets": (usual.of.H2OKMeansEstimator, CLUSTERS, "clusters", ("a[0]", "a(1)", "a{b}", "<x>", "a&b")),
    "unseen": (GLM, BINOMIAL, "binomial", ("a\u00a0b", "a\u200bb", "a\u2003b", "\uff41\uff42", "e\u0301")),
    "twins": (GLM, BINOMIAL, "binomial", ("lead", " lead", "x", "color")),  # a MOJO has no spaces around a name
    "comment": (GLM, BINOMIAL, "binomial", ("a", "#b", "c", "color")),  # nor a name that begins like a comment
    "values": (GBM, TREES, "binomial", ("NA", "nan", "null", "true", "1", "-")),
}


def table(names: Sequence[str]) -> dict[str, list[Any]]:
    """Numbers and a category under these names, one value in twenty missing, and targets that depend on all of them."""
    random = np.random.default_rng([SEED, len(names)])
    numbers = random.normal(size=(LEARNT, len(names) - 1))
    level = random.integers(len(LEVELS), size=LEARNT)
    score = numbers @ np.linspace(1, -1.4, len(names) - 1) + 1.2 * (level - 1) + 0.3 * random.normal(size=LEARNT)
    columns = [usual.written(column) for column in numbers.T]
    columns.append([LEVELS[number] for number in level])
    for values in columns:
        for row in np.flatnonzero(random.random(LEARNT) < MISSING):
            values[row] = ""
    return {
        **{f"C{place}": values for place, values in enumerate(columns)},
        "y": [("no", "yes")[int(value)] for value in score > 0],
        "z": [("low", "mid", "top")[int(value)] for value in np.digitize(score, [-0.7, 0.7])],
        "n": usual.written(score),
    }


def make(name: str, folder: Path) -> None:
    """Train one model, and write it with its rows and predictions."""
    estimator, options, kind, names = MODELS[name]
    columns = table(names)
    path = folder / f"{name}.csv"
    write(path, list(columns), columns.values())
    types = {f"C{len(names) - 1}": "enum", "y": "enum", "z": "enum"}
    learnt = h2o.import_file(str(path), header=1, col_types=types)
    # The targets' names must not be those of columns.
    learnt.set_names([*names, *(f"target {target}" for target in ("y", "z", "n"))])
    model = estimator(**options)
    target = TARGETS[kind]
    model.train(x=list(range(len(names))), y=None if target is None else f"target {target}", training_frame=learnt)
    usual.FOLDER = FOLDER
    usual.write_mojo(name, model)
    usual.write(f"{name}.pred", model.predict(learnt)[:SCORED, :])
    write(FOLDER / f"{name}.csv", names, (columns[f"C{place}"][:SCORED] for place in range(len(names))))


def write(path: Path, names: Sequence[str], columns: Any) -> None:
    """Write a table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*columns, strict=True))


def main() -> None:
    """Make everything, and print what was made."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hotswap-train-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder  # h2o's own client leaves a folder behind
        start_h2o(folder)
        try:
            for name in sys.argv[1:] or MODELS:
                make(name, Path(folder))
                sys.stdout.write(f"{name:20}{(FOLDER / f'{name}.zip').stat().st_size:8,} bytes\n")
                sys.stdout.flush()
        finally:
            h2o.cluster().shutdown()


if __name__ == "__main__":
    main()
