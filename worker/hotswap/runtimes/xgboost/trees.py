"""Checks the trees of a file before XGBoost follows them: it trusts their indices, and would read other memory."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from hotswap.errors import SwapCode, SwapError

_MOST_CATEGORIES: Final = 1 << 24
_OF_NODES: Final = (
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
    "loss_changes",
    "sum_hessian",
)
_LEAF: Final = -1


def check_trees(model: Mapping[str, Any], *, features: int, groups: int) -> None:
    """Check the trees of a booster with that many features and groups, which are its classes or targets.

    Raises ValueError if a row could leave a tree, circle in it, or read what is not there; SwapError MODEL_UNSUPPORTED
    if it is sound, and this XGBoost cannot score it.
    """
    trees = model["trees"]
    _check_within("tree_info", _wholes(model, "tree_info", len(trees)), groups)
    starts = _wholes(model, "iteration_indptr") if "iteration_indptr" in model else np.array([0, len(trees)])
    if starts[0] != 0 or starts[-1] != len(trees) or (np.diff(starts) < 0).any():
        raise ValueError("its iteration_indptr does not fit its trees")
    for number, tree in enumerate(trees):
        try:
            _check_tree(tree, features)
            _check_leaves(tree, groups)
        except ValueError as error:
            raise ValueError(f"tree {number}: {error}") from error


def _check_tree(tree: Mapping[str, Any], features: int) -> None:
    left = _wholes(tree, "left_children")
    count = len(left)
    right, parents, indices = (_wholes(tree, name, count) for name in _OF_NODES[:3])
    for name in _OF_NODES[3:]:
        _check_length(name, tree[name], count)
    inner = np.flatnonzero(left != _LEAF)
    children = np.concatenate([left[inner], right[inner]])
    _check_within("children", children, count)
    # Each node has one parent and the root has none, so no path meets a node twice.
    if (children == 0).any() or (np.bincount(children, minlength=1) > 1).any() or not count:
        raise ValueError("its nodes are no tree")
    if (parents[children] != np.tile(inner, 2)).any():
        raise ValueError("parents and children differ")
    _check_within("split_indices", indices[inner], features)
    _check_categories(tree, count)


def _check_leaves(tree: Mapping[str, Any], groups: int) -> None:
    """Check the leaves of a tree for several targets; those of others are among its split_conditions."""
    width, left = int(tree["tree_param"]["size_leaf_vector"]), _wholes(tree, "left_children")
    _check_length("base_weights", tree["base_weights"], len(left) * max(1, width))
    if width > 1:
        if width != groups:
            raise ValueError(f"size_leaf_vector is {width}, not {groups}")
        if "leaf_weights" not in tree:
            raise SwapError(
                SwapCode.MODEL_UNSUPPORTED,
                "its trees for several targets have no `leaf_weights`, as XGBoost 2.1 saves them, and XGBoost 3.2 "
                "crashes on such: train it again with an XGBoost as new as the workers'",
            )
        _check_within("leaves", _wholes(tree, "right_children")[left == _LEAF], len(tree["leaf_weights"]) // width)


def _check_categories(tree: Mapping[str, Any], count: int) -> None:
    nodes = _wholes(tree, "categories_nodes") if "categories_nodes" in tree else np.empty(0, np.int64)
    splits = np.asarray(tree.get("split_type", ()))
    _check_within("categories_nodes", nodes, count)
    if len(splits) and (np.flatnonzero(splits).tolist() != nodes.tolist() or len(splits) != count):
        raise ValueError("split_type and categories_nodes differ")
    if not len(nodes):
        return
    categories = _wholes(tree, "categories")
    starts, sizes = (_wholes(tree, f"categories_{name}", len(nodes)) for name in ("segments", "sizes"))
    _check_within("categories", categories, _MOST_CATEGORIES)
    _check_within("categories_sizes", sizes, len(categories) + 1)
    _check_within("categories_segments", starts, len(categories) + 1)
    _check_within("categories_segments", starts + sizes, len(categories) + 1)


def _wholes(tree: Mapping[str, Any], name: str, count: int | None = None) -> npt.NDArray[np.int64]:
    values = np.asarray(tree[name])
    if values.size and values.dtype.kind not in "iu":
        raise ValueError(f"{name} has values that are no whole numbers")
    if count is not None:
        _check_length(name, values, count)
    return values.astype(np.int64).ravel()


def _check_length(name: str, values: Sequence[Any] | npt.NDArray[Any], count: int) -> None:
    if len(values) != count:
        raise ValueError(f"{name} has {len(values)} values, not {count}")


def _check_within(name: str, values: npt.NDArray[np.int64], stop: int) -> None:
    if values.size and not (values.min() >= 0 and values.max() < stop):
        raise ValueError(f"{name} has values outside 0 to {stop - 1}")
