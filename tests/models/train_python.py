"""Makes the tests' Python models, tests/models/python/<name>/: data, locks, rows and what is answered to them.

A model's `artifact/model.py` and `model.proto` are written by hand; all else in its folder is made here, and those
named `mlflow_…` are made whole, by train_mlflow.py. In an environment of its own, with Python 3.11:

    python3.11 -m venv .venv-python-models
    .venv-python-models/bin/pip install uv numpy==2.4.6 scikit-learn==1.9.1 pandas==2.3.3 statsmodels==0.15.0
    .venv-python-models/bin/pip install mlflow-skinny==3.18.0 cloudpickle==3.1.3 lightgbm==4.7.0 skops==0.16.0
    .venv-python-models/bin/pip install onnx==1.23.2 onnxruntime==1.32.0 skl2onnx==1.20.0
    .venv-python-models/bin/python tests/models/train_python.py [NAME …]

Without names: all but `torch`, which is made where its lock is installed: Python 3.10, 1.7 GB (see its README.md):

    python3.10 -m venv .venv-torch
    .venv-torch/bin/pip install --require-hashes -r tests/models/python/torch/artifact/requirements.txt
    .venv-torch/bin/python tests/models/train_python.py torch

`--check [NAME …]` loads artefacts and compares what they answer with expected.json; without names, those for which the
environment has the packages. `--locks [NAME …]` resolves locks again, by uv, which keeps the versions that a lock has.
"""

import argparse
import csv
import json
import math
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

from python_cases import FOLDER, Proto, answers_of, difference, rows_of
from python_samples import BAD, CITIES, GOOD, ORDINARY, PLAIN

CORE: Final = ("numpy==2.4.6", "scikit-learn==1.9.1", "pandas==2.3.3")
TORCH: Final = ("torch==1.12.1", "numpy==1.26.4", "safetensors==0.8.0")
LOCKS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("pipeline", "ensemble", "several", "vectors", "frame"), CORE),
    "statsmodels": ("numpy==2.4.6", "pandas==2.3.3", "statsmodels==0.15.0"),
    "torch": TORCH,
    **{
        f"mlflow_{name}": (*needed, "pandas==2.3.3")
        for name, needed in {
            "code": ("cloudpickle==3.1.3",),
            "lightgbm": ("lightgbm==4.7.0", "scikit-learn==1.9.1"),
            "pickled": ("cloudpickle==3.1.3", "mlflow-skinny==3.18.0", "numpy==2.4.6"),
            "sklearn": ("cloudpickle==3.1.3", "scikit-learn==1.9.1"),
            "skops": ("scikit-learn==1.9.1", "skops==0.16.0"),
        }.items()
    },
    "mlflow_onnx": ("onnx==1.23.2", "onnxruntime==1.32.0"),
}
"""What each model needs; of MLflow's folders what their requirements.txt names, mostly without MLflow."""
TOLERANCE: Final = {"torch": 1e-5}


def main() -> None:
    """Train, check, or resolve, as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--locks", action="store_true")
    options = parser.parse_args()
    if options.check:
        sys.exit(check(options.names or sorted(path.parent.name for path in FOLDER.glob("*/artifact"))))
    if options.locks:
        for name in options.names or LOCKS:
            lock(name)
        return
    for name in options.names or [name for name in ORDINARY if name != "torch"]:
        make(name)
    if not options.names:
        import train_mlflow  # noqa: PLC0415  MLflow takes seconds to import

        train_mlflow.main()


def make(name: str) -> None:
    """Write a model's data, its rows and its answers."""
    artifact = FOLDER / name / "artifact"
    if name in TRAINED:
        TRAINED[name](artifact)
    rows = rows_of(Proto.read(FOLDER / name / "model.proto"), ORDINARY[name], Random(name))
    write(FOLDER / name / "rows.json", rows)
    write(FOLDER / name / "expected.json", answers_of(name))


def write(path: Path, value: Any) -> None:
    """Write JSON with a line for each row or answer."""
    if isinstance(value, dict):
        lines = [f"{json.dumps(name)}: {_lines(rows)}" for name, rows in value.items()]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    else:
        path.write_text(_lines(value) + "\n", encoding="utf-8")


def _lines(rows: Any) -> str:
    return "[\n" + ",\n".join(json.dumps(row, allow_nan=False) for row in rows) + "\n]"


def check(names: list[str]) -> int:
    """Print whether each artefact answers what is expected; return how many do not."""
    failed = 0
    for name in names:
        expected = json.loads((FOLDER / name / "expected.json").read_text(encoding="utf-8"))
        try:
            if name.startswith("mlflow_"):
                from train_mlflow import answers_of as answers  # noqa: PLC0415
            else:
                answers = answers_of
            found = json.loads(json.dumps(answers(name)))
        except ImportError as error:
            print(f"{name}: not checked, {error}")  # noqa: T201
            failed += name in sys.argv
            continue
        where = difference(expected, found, TOLERANCE.get(name, 1e-9))
        print(f"{name}: {where or f'{sum(map(len, expected.values()))} answers as expected'}")  # noqa: T201
        failed += where is not None
    return failed


def lock(name: str) -> None:
    """Write a model's lock: wheels alone, each with its hashes, and no index's address.

    That of a folder of MLflow lies beside it: the folder stays as MLflow wrote it.
    """
    artifact = FOLDER / name / "artifact"
    written = FOLDER / name / "requirements.lock" if name.startswith("mlflow_") else artifact / "requirements.txt"
    version = artifact / ".python-version"
    python = version.read_text(encoding="utf-8").strip() if version.exists() else "3.11"
    words = ["--generate-hashes", "--only-binary", ":all:", "--no-annotate", "--no-header", "--no-emit-index-url"]
    subprocess.run(
        ["uv", "pip", "compile", "-q", *words, "--python-version", python, "-", "-o", written],
        input="\n".join(LOCKS[name]), text=True, check=True,
    )  # fmt: skip


# ---- what is trained


def train_pipeline(artifact: Path) -> None:
    """Train a pipeline in which a function of features.py makes numbers of a date."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    from joblib import dump  # noqa: PLC0415
    from sklearn.compose import ColumnTransformer  # noqa: PLC0415
    from sklearn.impute import SimpleImputer  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler  # noqa: PLC0415

    sys.path.insert(0, str(artifact))
    sys.dont_write_bytecode = True
    import features  # noqa: PLC0415

    random = Random(2)
    usual = ORDINARY["pipeline"]
    rows = pd.DataFrame([{name: draw(random) for name, draw in usual.items()} for _ in range(300)])
    rows.loc[::7, "income"] = np.nan
    rows.loc[::11, "city"] = None
    score = (
        rows.income.fillna(4e4) / 1e4 + rows.visits / 5 + (rows.city == "Bern") - rows.since.str[2:4].astype(int) / 8
    )
    label = np.where(score > score.median(), "stays", "leaves")
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    days = make_pipeline(FunctionTransformer(features.days), SimpleImputer(), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="?", missing_values=None), OneHotEncoder(handle_unknown="ignore")
    )
    parts = [("numbers", numbers, ["income", "visits"]), ("texts", texts, ["city"]), ("days", days, ["since"])]
    dump(
        make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(rows, label), artifact / "pipeline.joblib", 3
    )


def train_statsmodels(artifact: Path) -> None:
    """Train a Poisson regression, without the rows that it was trained on."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415
    import statsmodels.api as sm  # noqa: PLC0415
    import statsmodels.formula.api as smf  # noqa: PLC0415

    random = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "temperature": random.normal(14, 9, 200),
            "wind": random.normal(12, 6, 200),
            "weekend": random.integers(0, 2, 200),
            "sky": np.array(["clear", "cloud", "rain"])[random.integers(0, 3, 200)],
        }
    )
    rows["rentals"] = random.poisson(
        np.exp(2 + rows.temperature / 20 - rows.wind / 40 - (rows.sky == "rain") + rows.weekend / 3)
    )
    formula = "rentals ~ temperature + wind + weekend + C(sky)"
    model = smf.glm(formula, rows, family=sm.families.Poisson()).fit()
    model.save(artifact / "rentals.pickle", remove_data=True)


def train_torch(artifact: Path) -> None:
    """Draw the weights of the network that the artefact's model.py declares: nothing is learned, all is fixed."""
    sys.path.insert(0, str(artifact))
    sys.dont_write_bytecode = True
    import torch  # noqa: PLC0415
    from safetensors.torch import save_file  # noqa: PLC0415

    from model import Network  # noqa: PLC0415

    torch.manual_seed(4)
    save_file(Network(len(CITIES) + 1).state_dict(), artifact / "weights.safetensors")
    (artifact / "places.json").write_text(json.dumps({city: place for place, city in enumerate(CITIES)}) + "\n")


def train_sentiment(artifact: Path) -> None:
    """Write a vocabulary with each word's inverse document frequency and weight."""
    random = Random(5)
    with (artifact / "vocabulary.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("word", "idf", "weight"))
        for words, sign in ((GOOD, 1), (BAD, -1), (PLAIN, 0)):
            for word in words:
                if len(word) > 1:
                    weight = sign * random.uniform(1, 3) + random.gauss(0, 0.1)
                    writer.writerow((word.lower(), round(math.log(random.uniform(3, 30)), 6), round(weight, 6)))
    (artifact / "bias.txt").write_text("-0.05\n", encoding="utf-8")


def train_rates(artifact: Path) -> None:
    """Write the table of rates."""
    random, path = Random(6), artifact / "rates.sqlite"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as base:
        base.execute(
            "CREATE TABLE rates (currency TEXT, year INTEGER, rate REAL, PRIMARY KEY (currency, year)) WITHOUT ROWID"
        )
        for currency, rate in (("CHF", 1.0), ("EUR", 1.08), ("USD", 0.93), ("JPY", 0.0085)):
            for year in range(2018, 2026):
                base.execute(
                    "INSERT INTO rates VALUES (?, ?, ?)",
                    (currency, year, rate * random.uniform(0.9, 1.1) if currency != "CHF" else 1.0),
                )
    base.close()


def train_ensemble(artifact: Path) -> None:
    """Train a line, trees and neighbours."""
    import numpy as np  # noqa: PLC0415
    from joblib import dump  # noqa: PLC0415
    from sklearn.ensemble import GradientBoostingRegressor  # noqa: PLC0415
    from sklearn.linear_model import Ridge  # noqa: PLC0415
    from sklearn.neighbors import KNeighborsRegressor  # noqa: PLC0415

    random = np.random.default_rng(7)
    rows = random.normal(size=(200, 3))
    prices = 50 + 10 * rows[:, 0] + 5 * rows[:, 1] * rows[:, 2]
    trees = GradientBoostingRegressor(n_estimators=10, max_depth=2, random_state=0)
    for name, model in (("new", Ridge()), ("known", trees), ("business", KNeighborsRegressor(3, weights="distance"))):
        dump(model.fit(rows, prices), artifact / f"{name}.joblib", 3)


def train_several(artifact: Path) -> None:
    """Train a classifier of irises."""
    from joblib import dump  # noqa: PLC0415
    from sklearn.datasets import load_iris  # noqa: PLC0415
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    flowers = load_iris()
    model = LogisticRegression(max_iter=1000).fit(flowers.data, flowers.target_names[flowers.target])
    dump(model, artifact / "iris.joblib", 3)


def train_vectors(artifact: Path) -> None:
    """Draw a projection and the anchors."""
    import numpy as np  # noqa: PLC0415

    random = np.random.default_rng(9)
    np.save(artifact / "projection.npy", np.linalg.qr(random.normal(size=(8, 3)))[0])
    np.save(artifact / "anchors.npy", random.normal(size=(12, 3)))


TRAINED: Final[Mapping[str, Callable[[Path], None]]] = {
    "pipeline": train_pipeline,
    "statsmodels": train_statsmodels,
    "torch": train_torch,
    "sentiment": train_sentiment,
    "rates": train_rates,
    "ensemble": train_ensemble,
    "several": train_several,
    "vectors": train_vectors,
}


if __name__ == "__main__":
    main()
