"""Trains the LightGBM models of the tests into tests/models/lightgbm, each with rows and LightGBM's predictions."""

import json
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import pandas as pd

FOLDER: Final = Path(__file__).with_name("lightgbm")
IRIS: Final = Path(__file__).parents[2] / "examples" / "data" / "iris.csv"
ROWS: Final = 600
SHOWN: Final = 25
SMALL: Final = {
    "num_leaves": 7,
    "min_data_in_leaf": 5,
    "verbose": -1,
    "num_threads": 1,
    "seed": 0,
    "deterministic": True,
}
NUMBERS: Final = {
    "l2": {"objective": "regression"},
    "sqrt": {"objective": "regression", "reg_sqrt": True},
    "l1": {"objective": "regression_l1"},
    "huber": {"objective": "huber"},
    "fair": {"objective": "fair"},
    "quantile": {"objective": "quantile", "alpha": 0.9},
    "mape": {"objective": "mape"},
    "poisson": {"objective": "poisson"},
    "gamma": {"objective": "gamma"},
    "tweedie": {"objective": "tweedie", "tweedie_variance_power": 1.3},
    "dart": {"objective": "regression", "boosting": "dart", "drop_rate": 0.5},
    "forest": {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "linear": {"objective": "regression", "linear_tree": True},
    "zero_as_missing": {"objective": "regression", "zero_as_missing": True},
}
OF_A_SHARE: Final = {
    "cross_entropy": {"objective": "cross_entropy"},
    "cross_entropy_lambda": {"objective": "xentlambda"},
}
OF_GROUPS: Final = {"lambdarank": {"objective": "lambdarank"}, "rank_xendcg": {"objective": "rank_xendcg"}}
OF_CLASSES: Final = {"multiclass": {"objective": "multiclass"}, "ova": {"objective": "multiclassova"}}


def main() -> None:
    """Train and write each model."""
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(7)
    frame = pd.DataFrame({name: random.normal(size=ROWS) for name in ("age", "income", "debt")})
    frame["count"] = random.integers(0, 4, ROWS).astype(float)
    frame.loc[::7, "income"] = np.nan
    signal = 2 + frame["age"] + frame["count"] - np.nan_to_num(frame["income"])
    for name, options in NUMBERS.items():
        _keep(name, _trained(frame, np.maximum(signal, 0.1), 8, options), frame)
    for name, options in OF_A_SHARE.items():
        _keep(name, _trained(frame, 1 / (1 + np.exp(-signal)), 8, options), frame)
    for name, options in OF_GROUPS.items():
        _keep(name, _trained(frame, signal.rank(pct=True) // 0.26, 8, options, group=[20] * (ROWS // 20)), frame)
    for name, options in OF_CLASSES.items():
        _keep(name, _trained(frame, np.digitize(signal, (2, 4)), 6, {**options, "num_class": 3}), frame)
    answers = np.where(signal > 3, "yes", "no")
    binary = lightgbm.LGBMClassifier(n_estimators=20, **SMALL).fit(frame, answers)
    _keep("binary", binary.booster_, frame)
    own = _trained(frame, signal, 8, {"objective": lambda scores, data: (scores - data.get_label(), np.ones(ROWS))})
    _keep("own_objective", own, frame)
    _keep_categorical(random)
    flowers = pd.read_csv(IRIS)
    iris = lightgbm.LGBMClassifier(n_estimators=5, **SMALL).fit(flowers.iloc[:, :4], flowers["species"])
    iris.booster_.save_model(FOLDER / "iris.txt")


def _keep_categorical(random: np.random.Generator) -> None:
    """Write models of categories: of texts, of 300 levels, of other types than texts, and of codes."""
    rows = 10 * ROWS
    frame = pd.DataFrame({"age": random.normal(size=rows), "city": random.choice(["Bern", "Zürich", "Genève"], rows)})
    frame["shop"] = [f"shop {number}" for number in random.permutation(np.arange(rows) % 300)]
    signal = frame["age"] + (frame["city"] == "Bern") * 2 + frame["shop"].str.endswith("7") * 3
    frame.loc[::11, "city"] = np.nan
    frame = frame.astype({"city": "category", "shop": "category"})
    unseen = frame.head(3).astype({"city": str, "shop": str})
    unseen["city"] = pd.Categorical(["Basel", "Bern", "bern"])
    unseen["shop"] = pd.Categorical(["shop 7", "shop 300", "shop 8"])
    one_hot = {"cat_smooth": 1, "min_data_per_group": 1}
    _keep("categorical", _trained(frame, signal, 8, {"objective": "regression", **one_hot}), frame, unseen=unseen)
    others = pd.DataFrame({"age": random.normal(size=ROWS), "only": pd.Categorical(["x"] * ROWS)})
    others["rooms"] = pd.Categorical(random.choice([1.0, 2.5, 3.0], ROWS))
    others["size"] = pd.Categorical(random.choice(["S", "M", "L"], ROWS), ["S", "M", "L"], ordered=True)
    others["flag"] = pd.Categorical(random.choice([False, True], ROWS))
    others["zip"] = pd.Categorical(random.choice([3000, 8001], ROWS))
    signal = others["age"] + others["rooms"].astype(float) + (others["size"] == "L") + others["flag"].astype(int)
    _keep("other_levels", _trained(others, signal + (others["zip"] == 8001), 8, one_hot), others)
    codes = np.column_stack([random.normal(size=ROWS), random.choice([0, 3, 7, 200], ROWS)])
    data = lightgbm.Dataset(codes, codes[:, 0] + (codes[:, 1] == 7) * 2, categorical_feature=[1])
    trained = lightgbm.train({**SMALL, **one_hot}, data, 8)
    frame = pd.DataFrame(codes, columns=["Column_0", "Column_1"])
    frame.loc[:2, "Column_1"] = [np.nan, 5, -1]
    _keep("codes", trained, frame)


def _trained(frame: pd.DataFrame, labels: Any, rounds: int, options: dict[str, Any], **more: Any) -> lightgbm.Booster:
    return lightgbm.train({**SMALL, **options}, lightgbm.Dataset(frame, labels, **more), rounds)


def _keep(name: str, model: lightgbm.Booster, frame: pd.DataFrame, unseen: pd.DataFrame | None = None) -> None:
    path = FOLDER / f"{name}.txt"
    model.save_model(path)
    saved, shown = lightgbm.Booster(model_file=path), frame.head(SHOWN)
    kept: dict[str, Any] = {"rows": _records(shown), "raw": saved.predict(shown, raw_score=True).tolist()}
    kept["predict"] = saved.predict(shown).tolist()
    if name != "linear":
        kept["contributions"] = saved.predict(shown.head(3), pred_contrib=True).tolist()
    if unseen is not None:
        kept["unseen"] = {"rows": _records(unseen), "predict": saved.predict(unseen).tolist()}
    (FOLDER / f"{name}.json").write_text(json.dumps(kept, ensure_ascii=False) + "\n")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]


if __name__ == "__main__":
    main()
