"""Trains the models of scikit-learn of the tests into tests/models/sklearn, each with rows: `<name>.csv`."""

import pickle
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
import pandas as pd
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

FOLDER: Final = Path(__file__).with_name("sklearn")
ROWS: Final = 300
SHOWN: Final = 60


def main() -> None:
    """Train and write each model."""
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    random = np.random.default_rng(7)
    people = people_of(random)
    answer = np.where(people.age + random.normal(0, 5, ROWS) > 40, "yes", "no")
    numbers = pd.DataFrame(random.normal(size=(ROWS, 4)).round(3), columns=["a", "b", "sepal length (cm)", "d"])
    three = np.digitize(numbers["sepal length (cm)"], (-0.5, 0.5)) * 10
    amount = 100 * numbers.a + numbers.b
    words = np.array(["good", "bad", "fine", "poor", "great"])
    texts = pd.DataFrame({"text": [" ".join(words[random.integers(0, 5, 6)]) for _ in range(ROWS)]})
    mood = ["+" if text.count("good") > text.count("bad") else "-" for text in texts.text]
    forest = RandomForestClassifier(8, max_depth=4, random_state=0)
    boosted = GradientBoostingClassifier(n_estimators=20, max_depth=2, random_state=0)
    votes = [("forest", RandomForestClassifier(3, max_depth=3, random_state=0)), ("linear", LogisticRegression())]
    for name, model, rows, labels in (
        ("credit", make_pipeline(columns_of(), LogisticRegression()), people, answer),
        ("credit_gbm", make_pipeline(columns_of(), boosted), people, answer),
        ("forest", forest, numbers, three),
        ("scaled_forest", make_pipeline(StandardScaler(), RandomForestClassifier(8, max_depth=4)), numbers, three),
        ("gbm", GradientBoostingRegressor(n_estimators=20, max_depth=3, random_state=0), numbers, amount),
        ("arrays", make_pipeline(StandardScaler(), Ridge()), numbers.to_numpy(), amount),
        ("kmeans", make_pipeline(StandardScaler(), KMeans(3, random_state=0)), numbers, None),
        ("anomalies", IsolationForest(n_estimators=10, max_samples=32, random_state=0), numbers, None),
        ("mlp", make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=900, random_state=0)), numbers, three),
        ("svc", make_pipeline(StandardScaler(), LinearSVC(random_state=0)), numbers, three),
        ("vote", VotingClassifier(votes, voting="soft"), numbers, three),
        ("mood", make_pipeline(TfidfVectorizer(), LogisticRegression()), texts.text, mood),
        ("function", make_pipeline(FunctionTransformer(np.log1p), LinearRegression()), numbers.abs(), amount),
        ("histgbm", HistGradientBoostingRegressor(max_iter=5, max_depth=2, random_state=0), numbers, amount),
        ("target", TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1), numbers, amount.abs()),
    ):
        fitted = model.fit(rows, labels)
        joblib.dump(fitted, FOLDER / f"{name}.joblib", compress=3)
        shown = numbers if name == "arrays" else pd.DataFrame(rows)
        shown.head(SHOWN).to_csv(FOLDER / f"{name}.csv", index=False)
    ridge = make_pipeline(StandardScaler(), Ridge()).fit(numbers, amount)
    for name in ("plain", "safe", "unsafe"):
        numbers.head(SHOWN).to_csv(FOLDER / f"{name}.csv", index=False)
    (FOLDER / "plain.pkl").write_bytes(pickle.dumps(ridge))
    skops.io.dump(ridge, FOLDER / "safe.skops")
    ridge.note_ = Fraction(1, 2)  # a type that skops does not trust
    skops.io.dump(ridge, FOLDER / "unsafe.skops")


def people_of(random: np.random.Generator) -> pd.DataFrame:
    """Return rows of numbers, some missing, texts, and numbers that stand for categories."""
    people = pd.DataFrame(
        {"age": random.normal(40, 12, ROWS).round(2), "income": random.normal(5e4, 1e4, ROWS).round(2)}
    )
    people["city"] = np.array(["Bern", "Zürich", "Genève"])[random.integers(0, 3, ROWS)]
    people["zip"] = random.choice([3000, 8000, 1200], ROWS)
    people["code"] = random.choice(["1", "2"], ROWS)
    people.loc[::7, "income"] = np.nan
    return people


def columns_of() -> Any:
    """Return what such rows are transformed by."""
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("texts", texts, ["city", "code"]),
            ("zip", OneHotEncoder(handle_unknown="ignore"), ["zip"]),
        ]
    )


if __name__ == "__main__":
    main()
