"""Outputs computed in addition to a MOJO's score0: confidence, calibration, an autoencoder's error, SHAP."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jpype
import numpy as np

from hotswap.codec.outputs import Output
from hotswap.codec.values import Matrix
from hotswap.errors import SwapCode, SwapError
from hotswap.runtimes.h2o.loops import calibration_loop, contribution_loop, java_rows
from hotswap.runtimes.h2o.outputs import classes_of, elements


@dataclass(frozen=True, slots=True)
class Extra:
    """`values` computes `width` more columns from score0's rows and scores; `outputs` are relative to the first one."""

    outputs: list[Output]
    width: int
    values: Callable[[Matrix, Matrix], Matrix]


def confidence(model: Any) -> Extra:
    """Return the probability of the predicted class, which need not be the greatest one."""
    count = len(classes_of(model))
    scores = ("score",) if count > 2 else ()  # noqa: PLR2004 - a binomial's score is the second class's

    def values(_: Matrix, scores: Matrix) -> Matrix:
        # A row without a class takes class 0: the encoder refuses it because of its label.
        predicted = np.nan_to_num(scores[:, 0]).astype(np.int64) + 1
        return scores[np.arange(len(scores)), predicted][:, np.newaxis]

    return Extra([Output("confidence", 0, 1, ("probability", *scores))], 1, values)


def calibration(model: Any) -> Extra | None:
    """Return the calibrated probabilities; None if the model was trained without calibration."""
    if not model.calibrateClassProbabilities(java_rows(np.array([[0, 0.5, 0.5]]))[0]):
        return None
    loop, classes = calibration_loop(), classes_of(model)

    def values(_: Matrix, scores: Matrix) -> Matrix:
        calibrated = java_rows(scores)
        loop(model, calibrated)
        return np.array(calibrated)[:, 1:]

    names = [f"cal_p_{name}" for name in classes]
    aliases = [(f"cal_{name}", f"cal_p{name}") for name in classes]
    return Extra(elements(names, aliases, Output("calibrated_probabilities", 0, 0)), len(classes), values)


def reconstruction_error(model: Any) -> Extra:
    """Return H2O's anomaly(): the mean squared error over the network's inputs (standardized, categories one-hot).

    A missing number is its mean, as the network takes it. EasyPredict's error is NaN then, and otherwise the same.
    """
    cats, nums = int(model._cats), int(model._nums)  # noqa: SLF001 - public in Java
    starts = np.array(model._catoffsets)  # noqa: SLF001
    scale, center = (np.array(values) for values in (model._normmul, model._normsub))  # noqa: SLF001

    def standardize(numbers: Matrix) -> Matrix:
        return (numbers - center) * scale if len(scale) else numbers

    def values(rows: Matrix, scores: Matrix) -> Matrix:
        wanted = np.zeros_like(scores)
        for place in range(cats):
            # The last index of a column stands for a missing value.
            level = np.where(np.isnan(rows[:, place]), starts[place + 1] - 1, starts[place] + rows[:, place])
            wanted[np.arange(len(rows)), level.astype(np.int64)] = 1
        numbers = standardize(rows[:, cats : cats + nums])
        wanted[:, starts[cats] :] = np.where(np.isnan(numbers), 0, numbers)
        restored = scores.copy()
        restored[:, starts[cats] :] = standardize(scores[:, starts[cats] :])
        return np.asarray(((restored - wanted) ** 2).mean(axis=1, keepdims=True))

    names = ("Reconstruction.MSE", "anomaly_score", "anomaly", "reconstruction_error", "score")
    return Extra([Output("mse", 0, 1, names)], 1, values)


def contributions(model: Any) -> Extra:
    """Return each column's contribution (SHAP). Raises SwapError MODEL_UNSUPPORTED if the model has none."""
    factory = jpype.JClass("hex.genmodel.PredictContributionsFactory")
    if not isinstance(model, factory):
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            "configuration.runtime asks for contributions, which only GBM, DRF and XGBoost models support",
        )
    try:
        predictor = model.makeContributionsPredictor()
    except jpype.JException as error:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"configuration.runtime asks for contributions, which this model does not support: {error.getMessage()}",
        ) from error
    loop = contribution_loop()
    columns = [str(name) for name in predictor.getContributionNames()][:-1]

    def values(rows: Matrix, scores: Matrix) -> Matrix:
        results = jpype.JArray(jpype.JFloat, 2)(len(scores))
        loop(predictor, java_rows(rows), results)
        return np.array(results, np.float64)

    names = [*(f"contribution_{name}" for name in columns), "contribution_bias"]
    aliases = [*[()] * len(columns), ("contribution_BiasTerm",)]
    return Extra(elements(names, aliases, Output("contributions", 0, 0)), len(names), values)
