"""Makes the folders of MLflow for the tests, tests/models/python/mlflow_…/: train_python.py runs it and says where.

They are as MLflow writes them, except that a time, an id and the paths of the machine are replaced: `model_code_path`
of a model from code is a path of somebody else's machine anyway. Two files still differ from run to run: model.skops, a
zip with times in it, and python_model.pkl, in which cloudpickle gives each class an id.
"""

import json
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"  # it would copy this checkout's pyproject.toml

import lightgbm
import mlflow
import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature, infer_signature
from mlflow.pyfunc.utils import data_validation
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from python_cases import FOLDER, ODD, Proto, call, rows_of
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

CALM: Final = {**ODD, "double": [0.0, -0.0, 0.25, 12.5], "float": [0.0, -0.0, 0.25]}
"""scikit-learn refuses infinite numbers, and this code has nothing of ours in front of it."""
TRAINER: Final = "/home/trainer"
"""Where what is written says that it was made."""
CODE: Final = '''"""A price, by a table of countries; what MLflow calls a model from code."""

import json
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel


class Price(PythonModel):
    """Its file has a factor for each country, its configuration the bounds of the bands."""

    def load_context(self, context):
        self.factors = json.loads(Path(context.artifacts["factors"]).read_text(encoding="utf-8"))
        self.bounds = context.model_config["bounds"]

    def predict(self, context, model_input, params=None):
        discount = (params or {}).get("discount", 0.0)
        factors = [self.factors.get(country or "", 1.0) for country in model_input["country"]]
        price = model_input["amount"].clip(0, 1e6) * factors * (1 - discount) + model_input["rate"].astype(float)
        points = model_input["count"].clip(0, 100) + model_input["days"].clip(0, 100) * model_input["is_member"]
        return pd.DataFrame(
            {
                "price": price,
                "band": [("low", "middle", "high")[sum(one > bound for bound in self.bounds)] for one in price],
                "points": points.astype("int64"),
                "is_high": price > self.bounds[-1],
            }
        )


mlflow.models.set_model(Price())
'''
PICKLED: Final = '''
from mlflow.pyfunc import PythonModel


class Words(PythonModel):
    """The score of a text, by the words that a module beside it knows."""

    def __init__(self, bias):
        self.bias = bias

    def predict(self, context, model_input, params=None):
        import pandas as pd
        from scoring import words_of

        words = [words_of(text) for text in model_input["text"]]
        scores = [self.bias + sum(known.values()) for known in words]
        weights = model_input["weight"].fillna(1.0).clip(-1e6, 1e6)
        return pd.DataFrame({"score": weights * scores, "words": [" ".join(known) for known in words]})
'''
SCORING: Final = '''"""What MLflow takes along with a model as its code."""

SCORES = {"good": 1.5, "great": 2.0, "bad": -1.5, "schlecht": -2.0}


def words_of(text):
    """Return the known words of a text and their scores."""
    return {word: SCORES[word] for word in text.casefold().split() if word in SCORES}
'''


def main() -> None:
    """Write each folder, its rows and its answers."""
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    from train_python import write  # noqa: PLC0415  it imports this module

    for name, (save, ordinary) in MODELS.items():
        folder = FOLDER / name
        shutil.rmtree(folder / "artifact", ignore_errors=True)
        save(folder / "artifact")
        write(folder / "rows.json", rows_of(Proto.read(folder / "model.proto"), ordinary, Random(name), CALM))
        write(folder / "expected.json", answers_of(name))


def answers_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """Return what MLflow itself answers to a model's rows, by operation."""
    artifact = FOLDER / name / "artifact"
    model = mlflow.pyfunc.load_model(str(artifact))
    inputs = model.metadata.get_input_schema()

    def predict(columns: dict[str, Any]) -> dict[str, Any]:
        if inputs.is_tensor_spec():
            (values,) = columns.values()
            answers = model.predict(np.array(values, dtype=inputs.inputs[0].type))
        else:
            types = {spec.name: spec.type.to_pandas() for spec in inputs.inputs}
            answers = model.predict(
                pd.DataFrame({name: pd.Series(values, dtype=types[name]) for name, values in columns.items()})
            )
        if isinstance(answers, pd.DataFrame):
            return {str(column): answers[column].to_numpy() for column in answers}
        return answers if isinstance(answers, dict) else {"prediction": answers}

    proto = Proto.read(FOLDER / name / "model.proto")
    rows = json.loads((FOLDER / name / "rows.json").read_text(encoding="utf-8"))
    return {rpc: call(proto, rpc, rows, predict) for rpc in proto.operations}


def made(name: str) -> Model:
    """Return the start of an MLmodel: always of the same time and id."""
    return Model(
        utc_time_created=datetime(2026, 12, 2, tzinfo=UTC).replace(tzinfo=None),
        model_uuid=uuid5(NAMESPACE_URL, name).hex,
    )


def people() -> pd.DataFrame:
    """Return rows with missing numbers and texts."""
    random = np.random.default_rng(13)
    rows = pd.DataFrame({"age": random.normal(40, 12, 120).round(1), "visits": random.integers(0, 30, 120)})
    rows["city"] = np.array(["Bern", "Zürich", "Genève"], dtype=object)[random.integers(0, 3, 120)]
    rows.loc[::7, "age"] = np.nan
    rows.loc[::5, "city"] = None
    return rows


def save_sklearn(path: Path) -> None:
    """Write a pipeline as MLflow did by itself until 3.13: by cloudpickle."""
    rows = people()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore")
    )
    columns = make_column_transformer((numbers, ["age", "visits"]), (texts, ["city"]))
    stays = np.where(rows.age.fillna(30) + rows.visits + 5 * (rows.city == "Bern") > 55, "stays", "leaves")
    model = make_pipeline(columns, LogisticRegression()).fit(rows, stays)
    signature = infer_signature(rows, model.predict(rows))
    mlflow.sklearn.save_model(
        model, path, serialization_format="cloudpickle", signature=signature, input_example=rows.head(3),
        mlflow_model=made(path.parent.name),
    )  # fmt: skip


def save_skops(path: Path) -> None:
    """Write a forest as MLflow does by itself since 3.14, with another function than predict."""
    rows = pd.DataFrame(np.random.default_rng(14).normal(size=(100, 3)), columns=["a", "b", "c"])
    model = RandomForestClassifier(2, max_depth=2, random_state=0, n_jobs=1).fit(rows, np.digitize(rows.a, [-0.5, 0.5]))
    mlflow.sklearn.save_model(
        model, path, pyfunc_predict_fn="predict_proba", signature=infer_signature(rows, model.predict_proba(rows)),
        input_example=rows.head(2), skops_trusted_types=["sklearn.tree._tree.Tree"],
        mlflow_model=made(path.parent.name),
    )  # fmt: skip


def save_lightgbm(path: Path) -> None:
    """Write a Booster."""
    random = np.random.default_rng(15)
    rows = pd.DataFrame(random.normal(size=(200, 3)), columns=["a", "b", "c"])
    rows = rows.mask(random.random(rows.shape) < 0.1)
    data = lightgbm.Dataset(rows, rows.a.fillna(1) + rows.b.fillna(0) * rows.c.fillna(2))
    parameters = {"objective": "regression", "num_leaves": 5, "verbose": -1, "seed": 0, "num_threads": 1}
    model = lightgbm.train(parameters, data, num_boost_round=6)
    mlflow.lightgbm.save_model(
        model, path, signature=infer_signature(rows, model.predict(rows)), input_example=rows.head(2),
        mlflow_model=made(path.parent.name),
    )  # fmt: skip


def save_code(path: Path) -> None:
    """Write a model from code, with a file, a configuration, a parameter, and a signature of all types."""
    types = {
        "amount": DataType.double,
        "count": DataType.long,
        "days": DataType.integer,
        "rate": DataType.float,
        "is_member": DataType.boolean,
        "country": DataType.string,
    }
    outputs = {"price": DataType.double, "band": DataType.string, "points": DataType.long, "is_high": DataType.boolean}
    signature = ModelSignature(
        Schema([ColSpec(kind, name, required=name != "country") for name, kind in types.items()]),
        Schema([ColSpec(kind, name) for name, kind in outputs.items()]),
        ParamSchema([ParamSpec("discount", DataType.double, 0.0)]),
    )
    with tempfile.TemporaryDirectory() as folder:
        code, factors = Path(folder, "price.py"), Path(folder, "factors.json")
        code.write_text(CODE, encoding="utf-8")
        factors.write_text('{"CH": 1.5, "DE": 1.19, "": 0.5}\n', encoding="utf-8")
        mlflow.pyfunc.save_model(
            path, python_model=str(code), artifacts={"factors": str(factors)}, model_config={"bounds": [50.0, 200.0]},
            signature=signature, mlflow_model=made(path.parent.name),
        )  # fmt: skip
        anonymize(path, folder)


def save_pickled(path: Path) -> None:
    """Write an instance of a class of a notebook, with a module that it imports."""
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(PICKLED, f"{TRAINER}/notebook.py", "exec"), notebook)
    data_validation.__file__ = f"{TRAINER}/data_validation.py"  # MLflow wraps `predict`, and the pickle names the file
    example = pd.DataFrame({"text": ["so good", "schlecht", "Great BAD"], "weight": [1.0, np.nan, 0.5]})
    outputs = Schema([ColSpec(DataType.double, "score"), ColSpec(DataType.string, "words")])
    inputs = Schema([ColSpec(DataType.string, "text"), ColSpec(DataType.double, "weight", required=False)])
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder, "scoring.py")
        module.write_text(SCORING, encoding="utf-8")
        mlflow.pyfunc.save_model(
            path, python_model=notebook["Words"](0.25), code_paths=[str(module)], input_example=example,
            signature=ModelSignature(inputs, outputs), mlflow_model=made(path.parent.name),
        )  # fmt: skip
        anonymize(path, folder)


def save_onnx(path: Path) -> None:
    """Write a classifier of irises, converted."""
    from skl2onnx import to_onnx  # noqa: PLC0415

    flowers = load_iris()
    rows = flowers.data.astype(np.float32)
    model = LogisticRegression(max_iter=1000).fit(rows, flowers.target)
    converted = to_onnx(model, rows[:1], options={"zipmap": False}, target_opset=17)
    outputs = {
        "label": flowers.target[:2].astype(np.int64),
        "probabilities": model.predict_proba(rows[:2]).astype(np.float32),
    }
    mlflow.onnx.save_model(
        converted, path, signature=infer_signature(rows[:2], outputs), save_as_external_data=False,
        input_example=rows[:2], mlflow_model=made(path.parent.name),
    )  # fmt: skip


def anonymize(path: Path, folder: str) -> None:
    """Replace the folder in which a model was made by an invented one, where MLflow has kept it."""
    file = path / "MLmodel"
    file.write_text(file.read_text(encoding="utf-8").replace(folder, TRAINER), encoding="utf-8")


Saving = tuple[Callable[[Path], None], dict[str, Callable[[Random], Any]]]
MODELS: Final[dict[str, Saving]] = {
    "mlflow_sklearn": (
        save_sklearn,
        {
            "age": lambda random: round(random.gauss(40, 12), 1),
            "visits": lambda random: random.randrange(30),
            "city": lambda random: random.choice(["Bern", "Zürich", "Genève", "Chur"]),
        },
    ),
    "mlflow_skops": (save_skops, dict.fromkeys("abc", lambda random: round(random.gauss(0, 1), 3))),
    "mlflow_lightgbm": (save_lightgbm, dict.fromkeys("abc", lambda random: round(random.gauss(0, 1), 3))),
    "mlflow_code": (
        save_code,
        {
            "amount": lambda random: round(random.gauss(120, 80), 2),
            "count": lambda random: random.randrange(20),
            "days": lambda random: random.randrange(90),
            "rate": lambda random: random.randrange(100) / 4,
            "is_member": lambda random: random.random() < 0.5,
            "country": lambda random: random.choice(["CH", "DE", "FR"]),
        },
    ),
    "mlflow_pickled": (
        save_pickled,
        {
            "text": lambda random: " ".join(random.choices(["good", "GREAT", "bad", "schlecht", "Brücke"], k=4)),
            "weight": lambda random: round(random.random(), 2),
        },
    ),
    "mlflow_onnx": (save_onnx, {"input": lambda random: [round(random.uniform(0, 7), 1) for _ in range(4)]}),
}
