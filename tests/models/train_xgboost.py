"""Trains the XGBoost models of the tests into tests/models/xgboost, each with rows and XGBoost's own predictions."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xgboost as xgb

FOLDER: Final = Path(__file__).with_name("xgboost")
EXAMPLES: Final = Path(__file__).parents[2] / "examples"
ROWS: Final = 400
SHOWN: Final = 24
NUMBERS: Final = ["age", "income", "größe", "x y"]


def main() -> None:
    """Train and write each model."""
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(50)
    frame = pd.DataFrame(random.normal(size=(ROWS, 4)), columns=NUMBERS)
    frame.loc[::7, "income"] = np.nan
    truth = frame["age"] + frame["income"].fillna(0.5) * frame["größe"]
    yes, three = (truth > 0).astype(int), np.digitize(truth, (-0.6, 0.6))
    time = np.exp(truth / 2 + random.normal(size=ROWS) / 4)
    for name, label, params in (
        ("churn.ubj", yes, {"objective": "binary:logistic"}),
        ("raw.ubj", yes, {"objective": "binary:logitraw"}),
        ("hinge.ubj", yes, {"objective": "binary:hinge"}),
        ("species.json", three, {"objective": "multi:softprob", "num_class": 3}),
        ("softmax.ubj", three, {"objective": "multi:softmax", "num_class": 3}),
        ("price.json", truth, {"objective": "reg:squarederror"}),
        ("quantiles.ubj", truth, {"objective": "reg:quantileerror", "quantile_alpha": [0.05, 0.5, 0.95]}),
        ("median.ubj", truth, {"objective": "reg:quantileerror", "quantile_alpha": 0.5}),
        ("visits.ubj", three, {"objective": "count:poisson"}),
        ("hazard.ubj", np.where(yes, time, -time), {"objective": "survival:cox"}),
        ("dart.ubj", truth, {"booster": "dart", "rate_drop": 0.3}),
        ("linear.json", truth, {"booster": "gblinear", "updater": "coord_descent", "feature_selector": "cyclic"}),
        (
            "forest.ubj",
            three,
            {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.7, "max_depth": 2},
        ),
        ("targets.ubj", np.stack([truth, -truth], axis=1), {"objective": "reg:squarederror"}),
        ("leaves.ubj", np.stack([truth, -truth], axis=1), {"multi_strategy": "multi_output_tree"}),
    ):
        keep(name, frame, xgb.DMatrix(frame, label), params)
    ranked = xgb.DMatrix(frame, three, qid=np.arange(ROWS) // 20)
    keep("rank.ubj", frame, ranked, {"objective": "rank:ndcg"})
    survival = xgb.DMatrix(frame)
    survival.set_float_info("label_lower_bound", time)
    survival.set_float_info("label_upper_bound", np.where(yes, time, np.inf))
    keep("survival.ubj", frame, survival, {"objective": "survival:aft"})
    bare = pd.DataFrame(frame.to_numpy(), columns=["f0", "f1", "f2", "f3"])
    keep("nameless.ubj", bare, xgb.DMatrix(frame.to_numpy(), truth), {})
    keep_categories(random, truth)
    stopped = xgb.XGBClassifier(n_estimators=60, max_depth=3, early_stopping_rounds=3, n_jobs=1)
    stopped.fit(frame[:200], yes[:200], eval_set=[(frame[200:], yes[200:])], verbose=False)
    write("stopped.ubj", frame, stopped, stopped.predict_proba(frame[:SHOWN])[:, 1])
    iris = pd.read_csv(EXAMPLES / "data" / "iris.csv")
    labels, _ = pd.factorize(iris["species"], sort=True)
    keep(
        "iris.ubj",
        iris.iloc[:, :4],
        xgb.DMatrix(iris.iloc[:, :4], labels),
        {"objective": "multi:softprob", "num_class": 3},
    )


def keep_categories(random: np.random.Generator, truth: Any) -> None:
    """Write models with categories: texts with gaps, 300 of them, whole numbers, bare codes, and beyond ASCII."""
    shops = np.array([f"shop {number:03}" for number in range(300)])
    frame = pd.DataFrame({"x": truth.to_numpy() + random.normal(size=ROWS) / 2})
    frame["color"] = pd.Categorical(np.array(["red", "green", "", "NA", None], object)[random.integers(0, 5, ROWS)])
    frame["shop"] = pd.Categorical(shops[random.integers(0, 300, ROWS)], categories=shops[::-1])
    frame["zone"] = pd.Categorical(np.array([10, -7, 3])[random.integers(0, 3, ROWS)])
    label = truth + frame["zone"].cat.codes + 2 * frame["color"].cat.codes - frame["shop"].cat.codes % 7
    keep("shops.ubj", frame, xgb.DMatrix(frame, label, enable_categorical=True), {"max_cat_to_onehot": 5})
    keep("shops.json", frame, xgb.DMatrix(frame, label, enable_categorical=True), {"max_cat_to_onehot": 1})
    codes = pd.DataFrame({"x": frame["x"], "zone": frame["zone"].cat.codes.astype(float)})
    bare = xgb.DMatrix(codes.to_numpy(), label, feature_names=["x", "zone"], feature_types=["float", "c"])
    keep("codes.ubj", codes.astype({"zone": int}), bare, {"max_cat_to_onehot": 1})
    frame = pd.DataFrame({"city": pd.Categorical(np.array(["Bern", "Zürich"])[random.integers(0, 2, ROWS)])})
    booster = xgb.train({"nthread": 1}, xgb.DMatrix(frame, truth, enable_categorical=True), 2)
    booster.save_model(FOLDER / "cities.ubj")


def keep(name: str, frame: Any, data: xgb.DMatrix, params: dict[str, Any], rounds: int = 8) -> None:
    """Train a booster and write it."""
    booster = xgb.train({"max_depth": 3, "nthread": 1, "seed": 1, **params}, data, rounds)
    shown = xgb.DMatrix(frame[:SHOWN], enable_categorical=True) if data.feature_types else None
    if name in ("codes.ubj", "nameless.ubj"):
        shown = xgb.DMatrix(
            frame[:SHOWN].to_numpy(float), feature_names=data.feature_names, feature_types=data.feature_types
        )
    write(name, frame, booster, booster.predict(shown))


def write(name: str, frame: Any, model: Any, predictions: Any) -> None:
    """Write a model, with rows, predictions and the categories of its features in the order of their numbers."""
    model.save_model(FOLDER / name)
    levels = {
        column: [str(level) for level in frame[column].cat.categories]
        for column in frame
        if isinstance(frame[column].dtype, pd.CategoricalDtype)
    }
    rows = [
        {column: value for column, value in row.items() if not pd.isna(value)}
        for row in frame[:SHOWN].astype(dict.fromkeys(levels, object)).to_dict("records")
    ]
    kept = {
        "columns": list(frame),
        "rows": rows,
        "levels": levels,
        "predictions": np.asarray(predictions, float).tolist(),
    }
    (FOLDER / f"{name}.kept").write_text(json.dumps(kept, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
