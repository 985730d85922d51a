"""Reads what a model's file says of it, before XGBoost loads it: features, levels, objective, classes.

XGBoost recodes the categories of data frames alone, and takes a level that it does not know for the next one that it
does (dmlc/xgboost#12189). Here, the file's levels are the categories of a column, numbered as the trees number them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from hotswap.codec.fields import Column
from hotswap.errors import SwapCode, SwapError
from hotswap.runtimes.xgboost.trees import check_trees
from hotswap.runtimes.xgboost.ubjson import parse_ubjson

_MOST: Final = 1 << 16
"""How many features, classes or targets a model may have: the file holds numbers only, which it may invent."""
_SAVE: Final = 'save it with booster.save_model("model.ubj")'


@dataclass(frozen=True, slots=True)
class BoosterFile:
    """What a file says of its model.

    `classes`: how many, of a classifier; `targets`: of a regression. `quantiles`: as texts, of a quantile regression.
    `best_iteration`: the one at which early stopping found the best score, None without it.
    """

    version: str
    booster: str
    objective: str
    features: Sequence[Column]
    classes: int
    targets: int
    quantiles: Sequence[str]
    best_iteration: int | None


def read(content: bytes | bytearray) -> BoosterFile:
    """Read a model's file, JSON or UBJSON.

    Raises SwapError: MODEL_INVALID if it is no model, MODEL_UNSUPPORTED if its categories cannot be told.
    """
    try:
        return _read(_parse(content))
    except KeyError as error:
        raise _invalid(f"it has no {error}") from error
    except (ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise _invalid(str(error)) from error
    except RecursionError as error:
        raise _invalid("it is nested too deep") from error


def _invalid(why: str) -> SwapError:
    return SwapError(SwapCode.MODEL_INVALID, f"the artifact is no model as XGBoost saves it: {why}; {_SAVE}")


def _parse(content: bytes | bytearray) -> Any:
    if content[:1] != b"{":
        raise ValueError("it is neither JSON nor UBJSON")
    is_json = content[1:2].isspace() or content[1:2] == b'"'
    return json.loads(content) if is_json else parse_ubjson(content)


def _read(document: Any) -> BoosterFile:
    learner = document["learner"]
    model, objective = learner["learner_model_param"], learner["objective"]
    features, classes = _count(model, "num_feature"), _count(model, "num_class")
    targets = max(1, _count(model, "num_target", "1"))
    kind, gradient_booster = _booster(learner["gradient_booster"])
    if kind != "gblinear":
        check_trees(gradient_booster, features=features, groups=max(classes, targets))
    elif len(gradient_booster["weights"]) != (features + 1) * max(classes, targets):
        raise ValueError("it has not a weight for each feature and class")
    best = learner.get("attributes", {}).get("best_iteration")
    return BoosterFile(
        version=".".join(map(str, map(int, document["version"]))),
        booster=kind,
        objective=str(objective["name"]),
        features=_features(learner, gradient_booster, features),
        classes=classes,
        targets=targets,
        quantiles=_quantiles(objective),
        best_iteration=None if best is None or kind == "gblinear" else int(best),
    )


def _booster(gradient_booster: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name of a booster, and its model."""
    name = str(gradient_booster["name"])
    if name != "dart":
        return name, gradient_booster["model"]
    model: Mapping[str, Any] = gradient_booster["gbtree"]["model"]
    if len(gradient_booster["weight_drop"]) != len(model["trees"]):
        raise ValueError("it has not one weight_drop for each tree")
    return name, model


def _count(model: Mapping[str, Any], name: str, default: str = "0") -> int:
    count = int(model.get(name, default))
    if not 0 <= count <= _MOST:
        raise ValueError(f"{name} is {count}, and {_MOST:,} are served at most")
    return count


def _quantiles(objective: Mapping[str, Any]) -> Sequence[str]:
    alpha = json.loads(objective.get("quantile_loss_param", {}).get("quantile_alpha", "[]"))
    return [f"{float(one):g}" for one in (alpha if isinstance(alpha, list) else [alpha])]


def _features(learner: Mapping[str, Any], model: Mapping[str, Any], count: int) -> Sequence[Column]:
    """Return a column for each feature: a category if the file has its levels, a whole number if it lacks them."""
    names = list(map(str, learner.get("feature_names", ()))) or [f"f{place}" for place in range(count)]
    types = list(map(str, learner.get("feature_types", ()))) or [""] * count
    levels = list(model.get("cats", {}).get("enc", ())) or [{}] * count
    if not len(names) == len(types) == len(levels) == count:
        raise ValueError(f"it has {count} features, {len(names)} names, {len(types)} types, {len(levels)} categories")
    return [_column(*feature) for feature in zip(names, types, levels, strict=True)]


def _column(name: str, kind: str, levels: Mapping[str, Any]) -> Column:
    if len(levels.get("values", ())) or len(levels.get("offsets", ())):
        return Column(name, _levels(name, levels))
    return Column(name, type="whole" if kind == "c" else "number")


def _levels(name: str, levels: Mapping[str, Any]) -> tuple[str, ...]:
    values = np.asarray(levels["values"])
    if values.size and values.dtype.kind not in "iu":
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"feature `{name}` has categories of the type {values.dtype.name}: train it on texts or whole numbers",
        )
    if "offsets" not in levels:
        return tuple(map(str, values.tolist()))
    text = values.astype(np.uint8).tobytes()
    offsets = [int(offset) for offset in levels["offsets"]]
    if not text.isascii():
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"feature `{name}` has categories beyond ASCII, which XGBoost up to 3.2 cuts at wrong places when it takes "
            "them from pandas, so that the file has others than the table: rename them to ASCII, or replace them by "
            "whole numbers, and train the model again",
        )
    if offsets[0] != 0 or offsets[-1] != len(text) or any(stop < start for start, stop in pairwise(offsets)):
        raise ValueError(f"the offsets of the categories of feature `{name}` do not fit their text")
    return tuple(text[start:stop].decode() for start, stop in pairwise(offsets))
