"""A copy of a model that converts exactly, with what skl2onnx then needs to know.

scikit-learn computes in float64, and its trees compare float32 with float64: a pipeline that computes in float32 takes
another branch at a threshold. Hence here: an imputer of float64 numbers, scalers that divide, and a cast to float32
right before trees.
"""

import contextlib
import copy
from typing import Any, Final

import numpy as np
from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from skl2onnx.operator_converters.common import concatenate_variables
from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer
from skl2onnx.proto import onnx_proto
from skl2onnx.shape_calculators.imputer import calculate_sklearn_imputer_output_shapes
from skl2onnx.sklapi import CastTransformer
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler
from sklearn.svm import LinearSVC

from hotswap.packages.sklearn.steps import steps_of, trees_of

_PASS: Final = "passthrough"  # noqa: S105 - not a password
_SHAPES: Final = {
    "Classifier": calculate_linear_classifier_output_shapes,
    "Regressor": calculate_linear_regressor_output_shapes,
}


def prepared(model: Any) -> Any:
    """Return a copy of a model for skl2onnx, which shares its estimators."""
    made = _convertible(model)
    if isinstance(made, Pipeline) and any(trees_of(made.steps[-1][1])):
        *before, (name, trees) = made.steps
        made = copy.copy(made)
        made.steps = [*before, ("hotswap_cast", CastTransformer(dtype=np.float32)), (name, trees)]
    return made


def options_of(model: Any) -> dict[int, dict[str, Any]]:
    """Return skl2onnx's options for a model: exact scalers, and probabilities as a tensor."""
    options: dict[int, dict[str, Any]] = {
        id(step.estimator): {"div": "div"}
        for step in steps_of(model)
        if isinstance(step.estimator, StandardScaler | RobustScaler)
    }
    # Without an option of its own, skl2onnx 1.20 asks for one of LinearSVC that this does not have.
    options |= {id(step.estimator): {"raw_scores": True} for step in steps_of(model) if _is_svc(step.estimator)}
    if is_classifier(model) and hasattr(model, "predict_proba"):
        options[id(model)] = {"zipmap": False}
    return options


def register() -> None:
    """Have skl2onnx convert imputers of float64, and XGBoost's and LightGBM's estimators if onnxmltools is there."""
    shape = calculate_sklearn_imputer_output_shapes
    update_registered_converter(SimpleImputer, "SklearnSimpleImputer", shape, _convert_imputer, overwrite=True)
    with contextlib.suppress(ImportError):
        import xgboost  # noqa: PLC0415
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost  # noqa: PLC0415

        _register_boosters(xgboost, "XGB", "XGBoost", convert_xgboost)
    with contextlib.suppress(ImportError):
        import lightgbm  # noqa: PLC0415
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm  # noqa: PLC0415

        _register_boosters(lightgbm, "LGBM", "LightGbm", convert_lightgbm)


def _register_boosters(library: Any, prefix: str, alias: str, converter: Any) -> None:
    for kind, shape in _SHAPES.items():
        more = {"options": {"nocl": [True, False], "zipmap": [True, False, "columns"]}} if kind == "Classifier" else {}
        update_registered_converter(getattr(library, prefix + kind), alias + kind, shape, converter, **more)


def _convertible(model: Any) -> Any:
    """Return a model without imputers of texts, which skl2onnx cannot convert: a request without a text is refused."""
    if isinstance(model, SimpleImputer):
        is_marked = isinstance(model.missing_values, str) or model.add_indicator
        return _PASS if model.statistics_.dtype == object and not is_marked else model
    if hasattr(model, "flatten_transform"):  # of a vote, which skl2onnx wants to be off; its answers stay the same
        made = copy.copy(model)
        made.flatten_transform = False
        return made
    if not isinstance(model, Pipeline | ColumnTransformer | FeatureUnion):
        return model
    made = copy.copy(model)
    if isinstance(model, Pipeline):
        made.steps = [(name, _convertible(step)) for name, step in model.steps]
        made.steps = [each for each in made.steps if each[1] != _PASS] or [made.steps[-1]]
    elif isinstance(model, FeatureUnion):
        made.transformer_list = [(name, _convertible(step)) for name, step in model.transformer_list]
    else:
        made.transformers_ = [(name, _convertible(step), of) for name, step, of in model.transformers_]
    return made


def _convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Convert an imputer, of float64 by Where: onnxruntime's Imputer has float32 alone."""
    model, kind = operator.raw_operator, operator.inputs[0].type
    is_plain = model.statistics_.dtype.kind == "f" and not np.isnan(model.statistics_).any()
    if not isinstance(kind, DoubleTensorType) or not is_plain or not _is_nan(model.missing_values):
        convert_sklearn_imputer(scope, operator, container)
        return
    numbers = concatenate_variables(scope, operator.inputs, container)
    filled, is_missing = (scope.get_unique_variable_name(name) for name in ("filled", "is_missing"))
    values = model.statistics_.tolist()
    container.add_initializer(filled, onnx_proto.TensorProto.DOUBLE, [1, len(values)], values)
    container.add_node("IsNaN", numbers, is_missing, name=scope.get_unique_operator_name("IsNaN"), op_version=13)
    container.add_node(
        "Where", [is_missing, filled, numbers], operator.outputs[0].full_name,
        name=scope.get_unique_operator_name("Where"), op_version=16,
    )  # fmt: skip


def _is_svc(estimator: Any) -> bool:
    return isinstance(estimator, LinearSVC)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))
