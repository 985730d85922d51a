"""The outputs of a MOJO, by its category. Any of the names matches a field: codec/outputs.py has the rules.

    Binomial, Multinomial, Ordinal   `predict` (by the model's own threshold), `p_<class>` for each, `probabilities`,
                                     `confidence` (of the predicted class), `score` (binomial: the probability of the
                                     second class; else the same as confidence); if it was trained with calibration,
                                     `cal_p_<class>` and `calibrated_probabilities`
    Regression                       `predict`, or `score`
    CoxPH                            `lp`, or `predict`, `score`, `linear_predictor`
    BinomialUplift                   `uplift_predict`, or `predict`, `score`, `uplift`; `p_y1_with_treatment`,
                                     `p_y1_without_treatment`
    Clustering                       `predict` (the cluster's number); if the library returns them, `distance_<number>`
                                     for each cluster and `distances`: squared, in the space that the model clusters in
    AutoEncoder                      `reconstr_<column>` for each numeric column, `reconstr_<column>.<level>` and
                                     `reconstr_<column>.missing(NA)` for the levels of the others, `reconstruction` (all
                                     of these), `mse` (H2O's anomaly(), its Reconstruction.MSE), or `anomaly_score`,
                                     `anomaly`, `reconstruction_error`, `score`
    AnomalyDetection                 `predict`, or `score`, `anomaly_score`, `anomaly`; `mean_length`; if it was trained
                                     with a contamination, `predict` is 0 or 1 and the other names are the score's
    DimReduction (PCA, GLRM)         `pc<i>`, or `dim<i>`, `arch<i>`, from 1, and `components`, or `dimensions`
    TargetEncoder                    `<column>_te` for each (`<column>_<class>_te` of several classes), and `encodings`
    WordEmbedding                    `embedding`, and `dim<i>` for each, or `c<i>`, from 1

With `contributions` on, trees also return `contribution_<column>` for each column, `contribution_bias` (or
`contribution_BiasTerm`), and `contributions`: all of them, the bias last.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from hotswap.codec.outputs import Output, class_names, predict_names

CLASSIFIERS: Final = {"Binomial", "Multinomial", "Ordinal"}
_VECTORS: Final = ("probabilities", "probs", "class_probabilities")
_ANOMALY: Final = ("anomaly_score", "anomaly")
_PREDICT: Final = {
    "Regression": ("score",),
    "BinomialUplift": ("score", "uplift"),
    "CoxPH": ("score", "linear_predictor"),
    "Clustering": (),
}


def outputs_of(model: Any, category: str, width: int) -> list[Output]:
    """Return the outputs that score0 fills, in its order: `width` numbers per row."""
    response = str(model.getResponseName()) if category in CLASSIFIERS | {"Regression"} else None
    names = predict_names(response)
    if category in CLASSIFIERS:
        return _classes(classes_of(model), names)
    if category in _PREDICT:
        return _predictions(model, category, (*names, *_PREDICT[category]), width)
    if category == "AnomalyDetection":
        return _anomaly([str(name) for name in model.getOutputNames()])
    return _vector(model, category, range(1, width + 1))


def classes_of(model: Any) -> tuple[str, ...]:
    """Return a classifier's labels; a quasi-binomial model may declare none and gets "0" and "1"."""
    domain = model.getDomainValues(model.getResponseIdx())
    return ("0", "1") if domain is None else tuple(str(label) for label in domain)


def elements(names: Sequence[str], aliases: Sequence[tuple[str, ...]], vector: Output) -> list[Output]:
    """Return an output for each name, and a vector of all of them."""
    each = [Output(name, index, index + 1, aliases[index]) for index, name in enumerate(names)]
    return [*each, replace(vector, start=0, stop=len(names), is_vector=True, keys=tuple(names))]


def shifted(outputs: Sequence[Output], places: int) -> list[Output]:
    """Return the outputs moved by that many columns to the right."""
    return [replace(output, start=output.start + places, stop=output.stop + places) for output in outputs]


def _vector(model: Any, category: str, numbers: Sequence[int]) -> list[Output]:
    if category == "AutoEncoder":
        names = [str(name) for name in model.getOutputNames()]
        return elements(names, [(name.removeprefix("reconstr_"),) for name in names], Output("reconstruction", 0, 0))
    if category == "TargetEncoder":
        names = [str(name) for mapping in model._inoutMapping for name in mapping.to()]  # noqa: SLF001 - public in Java
        return elements(names, [()] * len(names), Output("encodings", 0, 0))
    if category == "WordEmbedding":
        return elements([f"dim{n}" for n in numbers], [(f"c{n}",) for n in numbers], Output("embedding", 0, 0))
    aliases = [(f"dim{n}", f"arch{n}") for n in numbers]
    return elements([f"pc{n}" for n in numbers], aliases, Output("components", 0, 0, ("dimensions",)))


def _classes(classes: tuple[str, ...], names: tuple[str, ...]) -> list[Output]:
    last = len(classes) + 1
    outputs = [
        Output("predict", 0, 1, names, classes=classes),
        *(Output(f"p_{name}", number, number + 1, class_names(name)) for number, name in enumerate(classes, 1)),
        Output("probabilities", 1, last, _VECTORS, is_vector=True, keys=classes),
    ]
    is_binomial = len(classes) == 2  # noqa: PLR2004 - what binomial means
    return [*outputs, Output("score", 2, 3)] if is_binomial else outputs


def _predictions(model: Any, category: str, names: tuple[str, ...], width: int) -> list[Output]:
    if category == "Clustering":
        numbers = range(width - 1)
        distances = elements([f"distance_{n}" for n in numbers], [()] * len(numbers), Output("distances", 0, 0))
        cluster = Output("predict", 0, 1, names, is_whole=True)
        return [cluster, *shifted(distances, 1)] if numbers else [cluster]
    if category == "Regression":
        return [Output("predict", 0, 1, names)]
    output_names = [str(name) for name in model.getOutputNames()]
    return [Output(name, index, index + 1, () if index else names) for index, name in enumerate(output_names)]


def _anomaly(output_names: Sequence[str]) -> list[Output]:
    """Return the outputs of an anomaly detector: its score is `predict`, or a `score` beside a `predict` of 0 or 1."""
    names = predict_names(None)
    if "score" in output_names:
        flag = Output("predict", 0, 1, names, classes=("0", "1"))
        return [flag, Output("score", 1, 2, _ANOMALY), Output("mean_length", 2, 3)]
    return [Output(output_names[0], 0, 1, ("predict", *names, "score", *_ANOMALY)), Output("mean_length", 1, 2)]
