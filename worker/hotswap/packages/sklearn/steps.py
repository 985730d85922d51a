"""The steps of a model, at any depth, and which of them no ONNX file can hold."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import skl2onnx
from skl2onnx._supported_operators import sklearn_operator_name_map
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline

_BOOSTING: Final = (
    "train scikit-learn's GradientBoosting or RandomForest instead, or LightGBM or XGBoost, whose own files are kinds "
    "of model"
)
_ADVICE: Final = {
    "FunctionTransformer": "it calls a Python function: apply that to the rows before they are sent, or replace it "
    "by a transformer of scikit-learn",
    "TransformedTargetRegressor": "train its regressor on the transformed target, save that alone "
    "(`model.regressor_`), and transform the answers back where they are read",
    "HistGradientBoostingClassifier": _BOOSTING,
    "HistGradientBoostingRegressor": _BOOSTING,
}


class ModelStep(NamedTuple):
    """An estimator of a model, and its names from the outside in, such as `preprocess.city.encoder`."""

    path: str
    estimator: Any

    def __str__(self) -> str:
        kind = type(self.estimator).__name__
        return f"step `{self.path}` ({kind})" if self.path else kind


def steps_of(model: Any, path: str = "") -> Iterator[ModelStep]:
    """Yield the estimators of pipelines, unions, column transformers, votes and stacks, at any depth; else itself."""
    for name, inner in _parts_of(model):
        if not isinstance(inner, str) and inner is not None:  # "passthrough", "drop"
            yield from steps_of(inner, f"{path}.{name}" if path else name)
    if not isinstance(model, Pipeline | FeatureUnion | ColumnTransformer):
        yield ModelStep(path, model)


def first_of(model: Any) -> Any:
    """Return the estimator that takes the rows as they come."""
    while isinstance(model, Pipeline):
        model = model.steps[0][1]
    return model


def trees_of(estimator: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each tree of an estimator with the columns that it was trained on, None for all."""
    inner = getattr(estimator, "estimators_", [estimator])
    inner = inner.ravel().tolist() if hasattr(inner, "ravel") else inner
    features = getattr(estimator, "estimators_features_", None)
    for place, one in enumerate(inner):
        if hasattr(one, "tree_"):
            yield one.tree_, None if features is None else features[place]


def unsupported(model: Any, *, has_failed: bool) -> str:
    """Describe the steps that cannot be converted, with what to do, a line each; empty if none is known.

    `has_failed`: the conversion has failed, so that a step which it does not always convert is to blame.
    """
    lines = [
        f"{step} cannot be converted to ONNX: {_advice(step.estimator)}"
        for step in steps_of(model)
        if _is_unsupported(step.estimator, has_failed=has_failed)
    ]
    return "\n".join(lines)


def _is_unsupported(estimator: Any, *, has_failed: bool) -> bool:
    name = type(estimator).__name__
    if name == "FunctionTransformer":
        return estimator.func is not None
    return type(estimator) not in sklearn_operator_name_map or (has_failed and name in _ADVICE)


def _advice(estimator: Any) -> str:
    name = type(estimator).__name__
    without = (
        f"skl2onnx {skl2onnx.__version__} has no converter for it: replace it, or pass --python with the Python of an "
        "environment whose packages register one"
    )
    return _ADVICE.get(name, without)


def _parts_of(model: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(model, Pipeline):
        yield from model.steps
    elif isinstance(model, FeatureUnion):
        yield from model.transformer_list
    elif isinstance(model, ColumnTransformer):
        yield from ((name, inner) for name, inner, _ in model.transformers_)
    elif hasattr(model, "named_estimators_"):
        yield from model.named_estimators_.items()
