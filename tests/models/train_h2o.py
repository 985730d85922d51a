"""Makes the MOJOs of the tests, one for each category and algorithm, with H2O's own predictions: about two minutes.

    .venv-train/bin/python tests/models/train_h2o.py      (make train sets .venv-train up)
    .venv-train/bin/python tests/models/train_h2o.py xgboost odd      only those whose names begin so

In tests/models/h2o: `rows.csv` (missing values among them), `odd.csv` (whose columns have odd names, for odd_*.zip) and
`words.csv` are what is scored; `<name>.zip` is a model, without the details of its training that are most of it;
`<name>.pred.csv` has what H2O itself predicts for the rows, in its own columns, and so have `<name>.contributions.csv`
(predict_contributions), `<name>.anomaly.csv` (anomaly) and `<name>.distances.csv` (from H2O's centers: it gives none
itself). The rows are the first of those that were learnt from: for some encodings H2O's predictions depend on the whole
table that it is asked about.
"""

import csv
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h2o
import numpy as np
from h2o import estimators as of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from tables import CATEGORIES, INPUTS, NUMBERS, ODD_CATEGORIES, ODD_INPUTS, SENT, odd_table, table
from train import SEED, start_h2o

FOLDER = Path(__file__).resolve().parent / "h2o"
LEARNT, SCORED, ONE_BY_ONE, ODD_LEARNT = 400, 50, 8, 1_200
# Of these MOJOs the details of the training are read; of the others with such encodings, names tell as well.
DETAILED = ("drf", "odd", "xgboost_label_encoder", "xgboost_one_hot_offset")
TEXT = """the red fox runs over the green hill and the red dog sleeps under the green tree
a fox and a dog run over a hill while the sun sleeps under the sea"""
WORDS = ("fox", "dog", "unicorn", "the", "the red fox", "a unicorn runs", "")

# Texts whose words hold spaces: `red fox` is one beside `red` and `fox`, and `new york city` is not `new york`.
PHRASED = (
    ("red fox", "runs", "over", "new york", "and", "red", "dog", "sleeps"),
    ("fox", "runs", "over", "new york city", "and", "new", "dog", "sleeps"),
)
SPLIT = (
    *(("new york",), ("red fox",), ("fox", "red"), ("new york city",), ("red fox", "runs", "over", "new york city")),
    *(("fox", "over", "new york"), ("new", "dog"), ("york",), ("new york", "york", "red fox", "fox")),
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model to make. Options that are functions are given the table; `predict` and `extra` the model and it."""

    name: str
    estimator: Callable[..., Any]
    target: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = INPUTS
    predict: Callable[[Any, Any], Any] = lambda model, table: model.predict(table)[:SCORED, :]
    extra: dict[str, Callable[[Any, Any], Any]] = field(default_factory=dict)


def contributions(model: Any, table: Any) -> Any:
    """SHAP, as H2O gives it."""
    return model.predict_contributions(table)[:SCORED, :]


def anomaly(model: Any, table: Any) -> Any:
    """The mean squared error of each reconstruction, as H2O gives it."""
    return model.anomaly(table)[:SCORED, :]


def distances(model: Any, table: Any) -> Any:
    """Squared distances to the centers as the model sees them: standardized, the mean for what is missing."""
    centers = np.array(model._model_json["output"]["centers_std"].cell_values)[:, 1:].astype(float)
    values = np.array(table[list(NUMBERS)].as_data_frame(use_pandas=False, header=False))
    values = np.where(values == "", "nan", values).astype(float)
    scaled = np.nan_to_num((values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0, ddof=1))
    return ((scaled[:SCORED, None] - centers) ** 2).sum(axis=2)


def transform(model: Any, table: Any) -> Any:
    """The encodings alone: H2O gives the whole table with them."""
    encoded = model.transform(table)
    return encoded[[name for name in encoded.columns if name.endswith("_te")]][:SCORED, :]


def transform_alone(model: Any, table: Any) -> Any:
    """Each row as a table of its own: H2O starts the first row of any from the same place, and all others elsewhere."""
    parts = [model.transform_frame(table[row, :]) for row in range(ONE_BY_ONE)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.rbind(part)
    return whole


def base_models(target: str) -> Callable[[Any], list[Any]]:
    """What a stacked ensemble stacks."""

    def make(table: Any) -> list[Any]:
        folds = {"nfolds": 2, "keep_cross_validation_predictions": True, "fold_assignment": "Modulo"}
        made = [GBM(**TREES, **folds), DEEP(**NETWORK, **folds)]
        for model in made:
            model.train(x=list(INPUTS), y=target, training_frame=table)
        return made

    return make


GBM, DRF, XGB = of.H2OGradientBoostingEstimator, of.H2ORandomForestEstimator, of.H2OXGBoostEstimator
GLM, DEEP, GAM = (
    of.H2OGeneralizedLinearEstimator,
    of.H2ODeepLearningEstimator,
    of.H2OGeneralizedAdditiveEstimator,
)
COX, TE = of.H2OCoxProportionalHazardsEstimator, of.H2OTargetEncoderEstimator
STACK, RULES = of.H2OStackedEnsembleEstimator, of.H2ORuleFitEstimator
ISOLATION, EXTENDED = of.H2OIsolationForestEstimator, of.H2OExtendedIsolationForestEstimator
KMEANS, UPLIFTED = of.H2OKMeansEstimator, of.H2OUpliftRandomForestEstimator

SHAP, ERRORS = {"contributions": contributions}, {"anomaly": anomaly}
TREES = {"ntrees": 5, "max_depth": 3, "seed": SEED}
NETWORK = {"hidden": [4], "epochs": 5, "reproducible": True, "seed": SEED}
AUTO = {**NETWORK, "autoencoder": True, "activation": "Tanh"}
OFFSET = {"offset_column": "exposure"}
CALIBRATED = {**TREES, "calibrate_model": True, "calibration_frame": lambda table: table}
ISOLATED = {"ntrees": 5, "max_depth": 4, "sample_size": 64, "seed": SEED}
RULED = {"min_rule_length": 2, "max_rule_length": 2, "rule_generation_ntrees": 4, "seed": SEED}
SURVIVAL = {"stop_column": "time"}
BLENDED = {"noise": 0, "blending": True, "seed": SEED}
TREATED = ("x0", "x1", "color", "country", "treatment")
UPLIFT = {"ntrees": 3, "max_depth": 3, "treatment_column": "treatment", "auuc_type": "qini", "seed": SEED}


def splines(columns: list[Any], kinds: list[int], **options: Any) -> dict[str, Any]:
    """Options of a GAM: kind 0 is cubic, 1 thin plate, 2 monotone, 3 M-splines."""
    return {"gam_columns": columns, "num_knots": [5 if kind == 1 else 4 for kind in kinds], "bs": kinds, **options}


RECIPES = (
    Recipe("gbm_binomial", GBM, "response", TREES, extra=SHAP),
    Recipe("gbm_multinomial", GBM, "grade", TREES),
    Recipe("gbm_regression", GBM, "amount", TREES, extra=SHAP),
    Recipe("gbm_many_sets", GBM, "amount", {**TREES, "ntrees": 120, "max_depth": 6}),
    Recipe("gbm_offset", GBM, "count", {**TREES, **OFFSET, "distribution": "poisson"}, extra=SHAP),
    Recipe("gbm_calibrated", GBM, "response", CALIBRATED),
    Recipe("gbm_calibrated_isotonic", GBM, "response", {**CALIBRATED, "calibration_method": "IsotonicRegression"}),
    Recipe("gbm_one_hot_explicit", GBM, "response", {**TREES, "categorical_encoding": "OneHotExplicit"}, extra=SHAP),
    Recipe("gbm_binary", GBM, "response", {**TREES, "categorical_encoding": "Binary"}),
    Recipe("gbm_eigen", GBM, "response", {**TREES, "categorical_encoding": "Eigen"}),
    Recipe("gbm_label_encoder", GBM, "response", {**TREES, "categorical_encoding": "LabelEncoder"}),
    Recipe("gbm_sort_by_response", GBM, "response", {**TREES, "categorical_encoding": "SortByResponse"}),
    Recipe("gbm_enum_limited", GBM, "response", {**TREES, "categorical_encoding": "EnumLimited"}),
    Recipe("gbm_one_hot_offset", GBM, "amount", {**TREES, **OFFSET, "categorical_encoding": "OneHotExplicit"}),
    Recipe("gbm_binary_offset", GBM, "amount", {**TREES, **OFFSET, "categorical_encoding": "Binary"}),
    Recipe("drf_binomial", DRF, "response", TREES, extra=SHAP),
    Recipe("drf_multinomial", DRF, "grade", TREES),
    Recipe("drf_regression", DRF, "amount", TREES, extra=SHAP),
    Recipe("xgboost_binomial", XGB, "response", TREES, extra=SHAP),
    Recipe("xgboost_multinomial", XGB, "grade", TREES),
    Recipe("xgboost_regression", XGB, "amount", TREES, extra=SHAP),
    Recipe("xgboost_offset", XGB, "amount", {**TREES, **OFFSET}),
    Recipe("xgboost_one_hot", XGB, "response", {**TREES, "categorical_encoding": "OneHotExplicit"}, extra=SHAP),
    Recipe("xgboost_one_hot_offset", XGB, "amount", {**TREES, **OFFSET, "categorical_encoding": "OneHotExplicit"}),
    Recipe("xgboost_enum_limited", XGB, "grade", {**TREES, "categorical_encoding": "EnumLimited"}),
    Recipe("xgboost_sort_by_response", XGB, "response", {**TREES, "categorical_encoding": "SortByResponse"}),
    Recipe("xgboost_binary", XGB, "response", {**TREES, "categorical_encoding": "Binary"}),
    Recipe("xgboost_label_encoder", XGB, "response", {**TREES, "categorical_encoding": "LabelEncoder"}),
    Recipe("glm_binomial", GLM, "response", {"family": "binomial"}),
    Recipe("glm_quasibinomial", GLM, "is_high", {"family": "quasibinomial"}),
    Recipe("glm_fractional_binomial", GLM, "share", {"family": "fractionalbinomial"}),
    Recipe("glm_multinomial", GLM, "grade", {"family": "multinomial"}),
    Recipe("glm_ordinal", GLM, "grade", {"family": "ordinal"}),
    Recipe("glm_gaussian", GLM, "amount", {"family": "gaussian"}),
    Recipe("glm_tweedie", GLM, "amount", {"family": "tweedie"}),
    Recipe("glm_offset", GLM, "count", {"family": "poisson", **OFFSET}),
    Recipe("deep_binomial", DEEP, "response", NETWORK),
    Recipe("deep_multinomial", DEEP, "grade", NETWORK),
    Recipe("deep_regression", DEEP, "amount", NETWORK),
    Recipe("deep_binary", DEEP, "response", {**NETWORK, "categorical_encoding": "Binary"}),
    Recipe("deep_eigen", DEEP, "response", {**NETWORK, "categorical_encoding": "Eigen"}),
    Recipe("deep_enum_limited", DEEP, "response", {**NETWORK, "categorical_encoding": "EnumLimited"}),
    Recipe("deep_offset", DEEP, "amount", {**NETWORK, **OFFSET}),
    Recipe("autoencoder", DEEP, None, AUTO, extra=ERRORS),
    Recipe("autoencoder_numeric", DEEP, None, AUTO, NUMBERS, extra=ERRORS),
    Recipe("autoencoder_not_standardized", DEEP, None, {**AUTO, "standardize": False}, extra=ERRORS),
    Recipe("stacked_binomial", STACK, "response", {"base_models": base_models("response"), "seed": SEED}),
    Recipe("stacked_multinomial", STACK, "grade", {"base_models": base_models("grade"), "seed": SEED}),
    Recipe("stacked_regression", STACK, "amount", {"base_models": base_models("amount"), "seed": SEED}),
    Recipe("rulefit_binomial", RULES, "response", RULED),
    Recipe("rulefit_multinomial", RULES, "grade", RULED),
    Recipe("rulefit_regression", RULES, "amount", RULED),
    Recipe("gam_regression", GAM, "amount", splines(["x0", "x1"], [0, 0])),
    Recipe("gam_of_splines_alone", GAM, "amount", splines(["x0"], [0]), ("x3", "color")),
    Recipe("gam_monotone", GAM, "amount", splines(["x0"], [2], spline_orders=[3])),
    Recipe("gam_m_splines", GAM, "amount", splines(["x0"], [3], spline_orders=[3])),
    Recipe("gam_both_splines", GAM, "amount", splines(["x0", "x1"], [2, 3], spline_orders=[3, 3])),
    Recipe("gam_binomial", GAM, "response", splines(["x0", ["x1", "x2"]], [0, 1], family="binomial")),
    Recipe("gam_multinomial", GAM, "grade", splines(["x0", "x1"], [0, 0], family="multinomial")),
    Recipe("isotonic", of.H2OIsotonicRegressionEstimator, "amount", {}, ("exposure",)),
    Recipe("coxph", COX, "event", SURVIVAL),
    Recipe("coxph_offset", COX, "event", {**SURVIVAL, **OFFSET}),
    Recipe("coxph_strata", COX, "event", {**SURVIVAL, "stratify_by": ["color"]}),
    Recipe("coxph_interactions", COX, "event", {**SURVIVAL, "interactions": ["x0", "color"]}),
    Recipe("uplift", UPLIFTED, "response", UPLIFT, ("x0", "x1", "color", "treatment")),
    *(
        Recipe(f"uplift_{name}", UPLIFTED, "response", {**UPLIFT, "categorical_encoding": encoding}, TREATED)
        for name, encoding in (("one_hot", "OneHotExplicit"), ("binary", "Binary"), ("enum_limited", "EnumLimited"))
    ),
    Recipe("kmeans", KMEANS, None, {"k": 3, "seed": SEED}),
    Recipe("kmeans_one_hot", KMEANS, None, {"k": 3, "seed": SEED, "categorical_encoding": "OneHotExplicit"}),
    Recipe("kmeans_enum_limited", KMEANS, None, {"k": 3, "seed": SEED, "categorical_encoding": "EnumLimited"}),
    Recipe("kmeans_eigen", KMEANS, None, {"k": 3, "seed": SEED, "categorical_encoding": "Eigen"}),
    Recipe("kmeans_numeric", KMEANS, None, {"k": 3, "seed": SEED}, NUMBERS, extra={"distances": distances}),
    Recipe("pca", of.H2OPrincipalComponentAnalysisEstimator, None, {"k": 3, "transform": "STANDARDIZE", "seed": SEED}),
    Recipe(
        "glrm",
        of.H2OGeneralizedLowRankEstimator,
        None,
        {"k": 2, "transform": "STANDARDIZE", "max_iterations": 50, "seed": SEED},
        predict=transform_alone,
    ),
    Recipe("isolation_forest", ISOLATION, None, ISOLATED),
    Recipe("isolation_forest_flagged", ISOLATION, None, {**ISOLATED, "contamination": 0.1}),
    Recipe(
        "extended_isolation_forest",
        EXTENDED,
        None,
        {"ntrees": 5, "sample_size": 32, "extension_level": 2, "seed": SEED},
    ),
    Recipe(
        "extended_isolation_forest_one_hot",
        EXTENDED,
        None,
        {"ntrees": 5, "sample_size": 32, "extension_level": 2, "seed": SEED, "categorical_encoding": "OneHotExplicit"},
    ),
    Recipe("target_encoder_binomial", TE, "response", BLENDED, ("color", "country"), predict=transform),
    Recipe("target_encoder_multinomial", TE, "grade", BLENDED, ("color", "country"), predict=transform),
    Recipe(
        "target_encoder_interaction",
        TE,
        "amount",
        {**BLENDED, "columns_to_encode": [["color", "country"], ["color"]]},
        ("color", "country"),
        predict=transform,
    ),
)

ODD = tuple(
    Recipe(f"odd_{name}_{encoding}", estimator, "Response y", {**TREES, "categorical_encoding": encoding}, ODD_INPUTS)
    for name, estimator in (("xgboost", XGB), ("gbm", GBM))
    for encoding in ("OneHotExplicit", "EnumLimited", "Binary")
)


def make(recipe: Recipe, learnt: Any) -> Any:
    """Train one model and write what belongs to it."""
    options = {name: option(learnt) if callable(option) else option for name, option in recipe.options.items()}
    model = recipe.estimator(**options)
    model.train(x=list(recipe.inputs), y=recipe.target, training_frame=learnt)
    write_mojo(recipe.name, model)
    for ending, give in {"pred": recipe.predict, **recipe.extra}.items():
        write(f"{recipe.name}.{ending}", give(model, learnt))


def make_words(name: str, texts: Sequence[Sequence[str]], scored: Sequence[Sequence[str]], folder: Path) -> None:
    """Train a word embedding: its table is words, and its predictions are for whole texts."""
    model = of.H2OWord2vecEstimator(vec_size=4, min_word_freq=2, epochs=2)
    model.train(training_frame=words_of(texts, folder))
    write_mojo(name, model)
    write(f"{name}.pred", model.transform(words_of(scored, folder), aggregate_method="AVERAGE"))


def words_of(texts: Sequence[Sequence[str]], folder: Path) -> Any:
    """A word a row, and after each text a missing one: that is how H2O tells texts apart."""
    path = folder / "words.csv"
    path.write_text("\n".join(["word", *(word for text in texts for word in (*text, "NA"))]), encoding="utf-8")
    return h2o.import_file(str(path), header=1, sep=",", col_types=["string"], na_strings=["NA"])


def write_mojo(name: str, model: Any) -> None:
    """Write the MOJO, without the details of its training if the test does not need them: DRF's contributions do."""
    path = FOLDER / f"{name}.zip"
    model.download_mojo(path=str(path))
    if name.startswith(DETAILED):
        return
    with zipfile.ZipFile(path) as whole:
        parts = {part: whole.read(part) for part in whole.namelist() if "experimental/" not in part}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for part, content in parts.items():
            small.writestr(part, content)


def write(name: str, what: Any) -> None:
    """Write a table as CSV: one of H2O's, an array or columns."""
    path = FOLDER / f"{name}.csv"
    if isinstance(what, h2o.H2OFrame):
        h2o.export_file(what, path=str(path), force=True, quote_header=False, write_checksum=False)
        return
    if isinstance(what, np.ndarray):
        what = {f"distance_{place}": column for place, column in enumerate(what.T)}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(what)
        writer.writerows(zip(*what.values(), strict=True))


def main() -> None:
    """Make everything, or those models whose names begin as the arguments do, and print what was made."""
    FOLDER.mkdir(exist_ok=True)
    wanted = tuple(sys.argv[1:]) or ("",)
    with tempfile.TemporaryDirectory(prefix="hotswap-train-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder  # h2o's own client leaves a folder behind
        start_h2o(folder)
        try:
            make_all(RECIPES, "rows", table(LEARNT), CATEGORIES, SENT, wanted)
            make_all(ODD, "odd", odd_table(ODD_LEARNT), ODD_CATEGORIES, ODD_INPUTS, wanted)
            if "word2vec".startswith(wanted):
                split = list(map(str.split, TEXT.splitlines() * 20))
                make_words("word2vec", split, list(map(str.split, WORDS)), Path(folder))
                write("words", {"word": WORDS})
            if "phrases".startswith(wanted):
                make_words("phrases", PHRASED * 20, SPLIT, Path(folder))
                write("phrased", {"word": list(map(" ".join, SPLIT))})
        finally:
            h2o.cluster().shutdown()


def make_all(
    recipes: Sequence[Recipe],
    name: str,
    columns: dict[str, list[Any]],
    categories: Sequence[str],
    sent: Sequence[str],
    wanted: tuple[str, ...],
) -> None:
    """Train the wanted ones on a table, and leave those of its rows that are scored."""
    write(name, columns)
    learnt = h2o.import_file(str(FOLDER / f"{name}.csv"), header=1, col_types=dict.fromkeys(categories, "enum"))
    for recipe in recipes:
        if recipe.name.startswith(wanted):
            make(recipe, learnt)
            sys.stdout.write(f"{recipe.name:34}{(FOLDER / f'{recipe.name}.zip').stat().st_size:8,} bytes\n")
            sys.stdout.flush()
    write(name, {column: columns[column][:SCORED] for column in sent})


if __name__ == "__main__":
    main()
