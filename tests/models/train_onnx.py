"""Trains the ONNX models of the tests into tests/models/onnx, each with rows and scikit-learn's own predictions."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import StringTensorType
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

FOLDER: Final = Path(__file__).with_name("onnx")
EXAMPLES: Final = Path(__file__).parents[2] / "examples"
ROWS: Final = 200
SHOWN: Final = 20
NO_ZIPMAP: Final = {"zipmap": False}


def main() -> None:
    """Train and write each model."""
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(7)
    numbers = random.normal(size=(ROWS, 4)).astype(np.float32)
    yes = (numbers[:, 0] + numbers[:, 1] > 0).astype(int)
    three = np.digitize(numbers[:, 2], (-0.5, 0.5)) * 10
    frame = pd.DataFrame({"age": numbers[:, 0], "income": numbers[:, 1]})
    frame["city"] = np.array(["Bern", "Zürich", "Genève"])[random.integers(0, 3, ROWS)]
    frame.loc[::7, "income"] = np.nan
    words = np.array(["good", "bad", "fine", "poor", "great"])
    texts = np.array([" ".join(words[random.integers(0, 5, 6)]) for _ in range(ROWS)])
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    credit = make_pipeline(columns, LogisticRegression()).fit(frame, np.array(["no", "yes"])[yes])
    _keep("credit", to_onnx(credit, frame[:1]), credit, frame)
    for name, model, labels in (
        ("gbm", GradientBoostingClassifier(n_estimators=20, max_depth=3, random_state=0), yes),
        ("forest", RandomForestClassifier(5, max_depth=4, random_state=0), three),
        ("mlp", MLPClassifier((8,), max_iter=2_000, random_state=0), three),
        ("svc", SVC(random_state=0), three),
        ("ridge", Ridge(), numbers[:, 3]),
        ("kmeans", KMeans(3, random_state=0), None),
    ):
        fitted = model.fit(numbers, labels)
        options = {id(fitted): NO_ZIPMAP} if name == "gbm" else None
        _keep(name, to_onnx(fitted, numbers[:1], options=options), fitted, numbers)
    anomalies = IsolationForest(n_estimators=10, random_state=0).fit(numbers)
    _keep("anomalies", to_onnx(anomalies, numbers[:1], target_opset={"": 18, "ai.onnx.ml": 3}), anomalies, numbers)
    mood = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(
        texts, ["+" if text.count("good") > text.count("bad") else "-" for text in texts]
    )
    converted = to_onnx(mood, initial_types=[("text", StringTensorType([None, 1]))])
    _keep("mood", converted, mood, pd.DataFrame({"text": texts}), of_text=True)
    _keep_net(random)
    iris = pd.read_csv(EXAMPLES / "data" / "iris.csv")
    flowers = make_pipeline(LogisticRegression(max_iter=1_000)).fit(
        iris.iloc[:, :4].to_numpy(np.float32), iris["species"]
    )
    columns = ",".join(iris.columns[:4])
    converted = to_onnx(flowers, np.zeros((1, 4), np.float32), options=NO_ZIPMAP)
    converted.metadata_props.add(key="hotswap.columns", value=columns)
    (FOLDER / "iris.onnx").write_bytes(converted.SerializeToString())


def _keep(name: str, converted: Any, model: Any, rows: Any, *, of_text: bool = False) -> None:
    (FOLDER / f"{name}.onnx").write_bytes(converted.SerializeToString())
    shown = rows[:SHOWN]
    predicted = model.predict(shown["text"] if of_text else shown)
    kept: dict[str, Any] = {"predict": predicted.tolist()}
    if hasattr(model, "predict_proba"):
        kept["probabilities"] = model.predict_proba(shown["text"] if of_text else shown).tolist()
    if isinstance(rows, pd.DataFrame):
        kept["rows"] = json.loads(shown.to_json(orient="records"))
    else:
        kept["rows"] = [{"X": row} for row in shown.astype(float).tolist()]
    (FOLDER / f"{name}.json").write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n")


def _keep_net(random: np.random.Generator) -> None:
    """Write a feed-forward network on images of 8x8, as PyTorch exports one: no names, a fixed order."""
    weights = random.normal(size=(64, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["output"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (FOLDER / "net.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
