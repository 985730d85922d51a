"""Files that XGBoost would misread, or that are none of its models, are refused with what to do."""

import json
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from harness.drafts import load_of
from harness.lab import Lab
from hotswap.errors import SwapCode, SwapError

xgboost = pytest.importorskip("xgboost")

pytestmark = pytest.mark.xgboost
MODELS = Path(__file__).parents[2] / "models" / "xgboost"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "fast", "xgboost") as made:
        yield made


def booster_of(name: str) -> Any:
    return xgboost.Booster({"nthread": 1}, model_file=MODELS / name)


def nested(opening: bytes) -> bytes:
    return opening + b"[" * 3_000_000


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a pickle": (
        lambda: pickle.dumps(booster_of("price.json")),
        "a Python pickle or joblib file of XGBoost.*model.ubj",
    ),
    "the old binary format": (lambda: b"binf" + bytes(200), "in its old binary format.*model.ubj"),
    "text": (lambda: b"age,income\n", "neither JSON nor UBJSON"),
    "a dump": (lambda: b"[" + b",".join(dump("price.json")) + b"]", "neither JSON nor UBJSON"),
    "a configuration": (lambda: booster_of("price.json").save_config().encode(), "it has no 'model'"),
    "an object": (lambda: b'{"a": 1}', "it has no 'learner'"),
    "a list of learners": (lambda: b'{"learner": [1]}', "no model as XGBoost saves it"),
    "nested JSON": (lambda: nested(b'{"learner":'), "nested too deep"),
    "nested UBJSON": (lambda: nested(b"{U\7learner"), "nested deeper than 64 levels"),
    "a huge array": (lambda: b"{U\7learner[$d#L" + (1 << 60).to_bytes(8), "it ends before"),
    "a negative count": (lambda: b"{U\7learner[$d#L" + b"\xff" * 8, "it ends before"),
    "many features": (lambda: changed("nameless.ubj", '"num_feature":"4"', '"num_feature":"99999999"'), "65,536"),
    "other features": (lambda: changed("churn.ubj", '"num_feature":"4"', '"num_feature":"5"'), "5 features, 4 names"),
    "a path that circles": (
        lambda: tree_with(right_children=[0, -1, -1], parents=[0, 0, 0]),
        "its nodes are no tree",
    ),
    "a node of two parents": (lambda: tree_with(right_children=[1, -1, -1]), "its nodes are no tree"),
    "a path that leaves its tree": (
        lambda: tree_with(right_children=[3, -1, -1]),
        "children has values",
    ),
    "a split on no feature": (lambda: tree_with(split_indices=[4, 0, 0]), "split_indices has values outside 0 to 3"),
    "a tree of no class": (lambda: changed("nameless.ubj", '"tree_info":[0', '"tree_info":[1'), "tree_info has values"),
    "a split by no categories": (lambda: tree_with(split_type=[1, 0, 0]), "split_type and categories_nodes differ"),
    "fewer thresholds than nodes": (lambda: tree_with(split_conditions=[0.5]), "split_conditions has 1 values, not 3"),
    "more weights than features": (lambda: changed("linear.json", '"weights":[', '"weights":[1,'), "a weight for each"),
    "other offsets": (lambda: changed("shops.json", '"offsets":[0,0,2,', '"offsets":[0,5,2,'), "do not fit their text"),
}


def changed(name: str, old: str, new: str) -> bytes:
    text = bytes(booster_of(name).save_raw("json")).decode()
    assert old in text
    return text.replace(old, new).encode()


def tree_with(**values: Any) -> bytes:
    """Return a model whose first tree has three nodes, with these arrays of it."""
    model = json.loads(bytes(booster_of("nameless.ubj").save_raw("json")))
    (tree, *_) = model["learner"]["gradient_booster"]["model"]["trees"]
    nodes = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "parents": [2_147_483_647, 0, 0],
        "split_indices": [0, 0, 0],
        **values,
    }
    for name, array in tree.items():
        if isinstance(array, list) and not name.startswith("categories"):
            tree[name] = nodes.get(name, array[:3])
    tree["tree_param"]["num_nodes"] = "3"
    return json.dumps(model).encode()


def dump(name: str) -> list[bytes]:
    return [tree.encode() for tree in booster_of(name).get_dump(dump_format="json")]


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_model_is_refused_with_what_to_do(lab: Lab, tmp_path: Path, name: str) -> None:
    content, words = REFUSED[name]
    (tmp_path / "model").write_bytes(content())

    with pytest.raises(SwapError, match=words) as raised:
        lab.describe(load_of(lab.kind, tmp_path / "model"))

    assert raised.value.code is SwapCode.MODEL_INVALID
    assert "model.ubj" in str(raised.value)


@pytest.mark.parametrize("name", ["churn.ubj", "price.json"])
def test_a_truncated_file_is_refused_wherever_it_ends(lab: Lab, tmp_path: Path, name: str) -> None:
    content = (MODELS / name).read_bytes()
    for length in range(0, len(content), 511):
        (tmp_path / "model").write_bytes(content[:length])

        with pytest.raises(SwapError) as raised:
            lab.describe(load_of(lab.kind, tmp_path / "model"))

        assert raised.value.code is SwapCode.MODEL_INVALID


def test_levels_beyond_ascii_are_refused(lab: Lab) -> None:
    assert "Zürich".encode() not in (MODELS / "cities.ubj").read_bytes()  # the library cut it

    with pytest.raises(SwapError, match=r"feature `city` has categories beyond ASCII.*train the model again") as raised:
        lab.describe(load_of(lab.kind, MODELS / "cities.ubj"))

    assert raised.value.code is SwapCode.MODEL_UNSUPPORTED


def test_a_model_with_a_smaller_tree_in_it_is_served(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(tree_with())

    assert "8 rounds" in lab.describe(load_of(lab.kind, tmp_path / "model")).description


def test_trees_on_which_the_library_crashes_are_refused(lab: Lab, tmp_path: Path) -> None:
    content = (MODELS / "leaves.ubj").read_bytes()
    (tmp_path / "model").write_bytes(content.replace(b"leaf_weights", b"leaf_waights"))

    with pytest.raises(SwapError, match=r"no `leaf_weights`, as XGBoost 2\.1 saves them.*train it again") as raised:
        lab.describe(load_of(lab.kind, tmp_path / "model"))

    assert raised.value.code is SwapCode.MODEL_UNSUPPORTED


@pytest.mark.parametrize("name", ["churn.ubj", "shops.ubj", "leaves.ubj", "dart.ubj", "linear.json", "species.json"])
def test_no_damage_of_a_file_is_more_than_refused(lab: Lab, tmp_path: Path, name: str) -> None:
    content, random = (MODELS / name).read_bytes(), Random(5)
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(random.choice((1, 1, 3))):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        (tmp_path / "model").write_bytes(damaged)

        with suppress(SwapError):
            lab.describe(load_of(lab.kind, tmp_path / "model"))
