"""Files of LightGBM that are damaged or would break the library: refused before the library reads them."""

import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drafts import load_of
from harness.lab import Lab
from hotswap.errors import SwapCode, SwapError

lightgbm = pytest.importorskip("lightgbm")

pytestmark = pytest.mark.lightgbm
MODELS = Path(__file__).parents[2] / "models" / "lightgbm"
BINARY = (MODELS / "binary.txt").read_text()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "lab", "lightgbm") as made:
        yield made


def resized(text: str) -> str:
    """Return the text of a model with the sizes of its trees as they are now."""
    head, _, rest = text.partition("\nTree=")
    trees, end, tail = f"Tree={rest}".partition("end of trees")
    sizes = [len(tree.encode()) for tree in re.split(r"(?=Tree=\d)", trees) if tree]
    return re.sub("tree_sizes=.*", f"tree_sizes={' '.join(map(str, sizes))}", head) + "\n" + trees + end + tail


def edited(name: str, pattern: str, to: str) -> bytes:
    """Return a model whose first line of that pattern is another one."""
    text = (MODELS / f"{name}.txt").read_text()
    changed = re.sub(pattern, to, text, count=1, flags=re.MULTILINE)
    assert changed != text
    return resized(changed).encode()


HOSTILE = {
    "a split that is its own child": (edited("binary", r"^left_child=\d+", "left_child=0"), "is no tree"),
    "a child that does not exist": (edited("binary", r"^left_child=\S+", "left_child=99999999"), "is no tree"),
    "a leaf that does not exist": (edited("binary", r"^left_child=\S+", "left_child=-99999999"), "is no tree"),
    "a child that is one beyond 32 bits": (edited("binary", r"^left_child=\d+", "left_child=4294967297"), "is no tree"),
    "a column that does not exist": (edited("binary", r"^split_feature=\d", "split_feature=4"), "reads column 4 of 4"),
    "a negative column": (edited("binary", r"^split_feature=\d", "split_feature=-1"), "reads column -1"),
    "no leaves": (edited("binary", "^num_leaves=7", "num_leaves=0"), "has no leaves"),
    "two milliards of leaves": (edited("binary", "^num_leaves=7", "num_leaves=2000000000"), "it needs 1,999,999,999"),
    "too few leaves": (edited("binary", "^num_leaves=7", "num_leaves=6"), "it needs"),
    "a value that is no number": (edited("binary", r"^leaf_value=\S+", "leaf_value=x"), "no list of numbers"),
    "a line of another program": (edited("binary", "^shrinkage=", "shell="), "no tree of LightGBM has"),
    "a field that is there twice": (edited("binary", "^num_cat=0", "num_cat=0\nnum_cat=1"), "twice"),
    "a set of categories that does not exist": (edited("binary", "^decision_type=2", "decision_type=1"), "its set of"),
    "a set of categories beyond the last": (edited("categorical", "^threshold=0 ", "threshold=99 "), "its set of"),
    "a set of categories beyond the others": (
        edited("categorical", r"^cat_boundaries=0 \d+", "cat_boundaries=0 99"),
        "it needs|do not ascend",
    ),
    "a linear leaf of a column that does not exist": (
        edited("linear", r"^leaf_features=( *)\d", r"leaf_features=\g<1>7"),
        "reads column 7 of 4",
    ),
    "a linear leaf beyond a double": (edited("linear", r"^leaf_const=\S+", "leaf_const=1e400"), "numbers in range"),
    "no trees in an iteration": (edited("binary", "^num_tree_per_iteration=1", "num_tree_per_iteration=0"), "from 1"),
    "a million of classes": (edited("binary", "^num_class=1", "num_class=1000000"), "for 1,000,000 classes"),
    "classes that its objective has not": (edited("multiclass", "num_class:3", "num_class:30"), "not of 3 classes"),
    "a single class": (
        edited("l2", "^objective=regression", "objective=multiclass num_class:1"),
        "not of 1 classes",
    ),
    "no columns": (edited("binary", "^max_feature_idx=3", "max_feature_idx=-1"), "max_feature_idx"),
    "a size beyond the file": (
        re.sub("tree_sizes=.*", "tree_sizes=305 99999999999", BINARY).encode(),
        "not of the size",
    ),
    "a tree that runs into the next": (
        edited("binary", "^shrinkage=(.*)\n\n\n", r"shrinkage=\1\n"),
        "not of the size in tree_sizes, with a blank line",
    ),
    "a last tree without an end": (
        resized(BINARY.replace("\n\n\nend of trees", "\nend of trees")).encode(),
        "not of the size in tree_sizes, with a blank line",
    ),
    "a tree without a size": (re.sub(r"(tree_sizes=.*) \d+", r"\1", BINARY).encode(), "not of the sizes"),
    "no trees": ((BINARY[: BINARY.index("Tree=0")] + "end of trees\n").encode(), "no trees"),
    "a zero byte": (BINARY.replace("feature_names=age", "feature_names=a\0e").encode(), "zero byte"),
    "other ends of lines": (BINARY.replace("\n", "\r\n").encode(), "it does not begin with"),
    "levels that are no lists": (
        BINARY.replace("pandas_categorical:[]", 'pandas_categorical:["a"]').encode(),
        "levels",
    ),
    "levels of a depth without end": (
        BINARY.replace("pandas_categorical:[]", "pandas_categorical:" + "[" * 99_999).encode(),
        "no readable model",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_would_break_the_library_is_refused_before_it_reads_it(lab: Lab, tmp_path: Path, name: str) -> None:
    content, words = HOSTILE[name]
    (tmp_path / "m.txt").write_bytes(content)

    with pytest.raises(SwapError, match=words) as raised:
        lab.describe(load_of("lightgbm", tmp_path / "m.txt"))

    assert raised.value.code is SwapCode.MODEL_INVALID


def test_a_file_that_is_cut_short_is_refused_wherever_it_ends(lab: Lab, tmp_path: Path) -> None:
    content = (MODELS / "iris.txt").read_bytes()
    trees, parameters, end = map(content.index, (b"end of trees", b"parameters:", b"end of parameters"))
    # Between the trees and the parameters are the importances, which are no part of the model.
    for length in [*range(0, trees, 211), *range(parameters + 12, end, 211)]:
        (tmp_path / "m.txt").write_bytes(content[:length])

        with pytest.raises(SwapError) as raised:
            lab.describe(load_of("lightgbm", tmp_path / "m.txt"))

        assert raised.value.code is SwapCode.MODEL_INVALID


def test_an_objective_that_is_unknown_is_refused_by_its_name(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_bytes(edited("l2", "^objective=regression", "objective=survival"))

    with pytest.raises(SwapError, match="'survival' is not supported") as raised:
        lab.describe(load_of("lightgbm", tmp_path / "m.txt"))

    assert raised.value.code is SwapCode.MODEL_UNSUPPORTED


def test_a_pickle_is_refused_with_the_way_to_convert_it(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_bytes(pickle.dumps(lightgbm.Booster(model_file=MODELS / "l2.txt")))

    with pytest.raises(SwapError, match=r"a Python pickle of LightGBM: .*booster_\.save_model") as raised:
        lab.describe(load_of("lightgbm", tmp_path / "m.txt"))

    assert raised.value.code is SwapCode.MODEL_INVALID


def test_levels_that_no_request_can_tell_apart_are_refused(lab: Lab, tmp_path: Path) -> None:
    text = (MODELS / "categorical.txt").read_text()
    (tmp_path / "m.txt").write_text(text.replace('pandas_categorical:[["Bern", ', 'pandas_categorical:[["3", 3, '))

    with pytest.raises(SwapError, match=r"column `city` has levels .* whose texts are the same") as raised:
        lab.describe(load_of("lightgbm", tmp_path / "m.txt"))

    assert raised.value.code is SwapCode.MODEL_UNSUPPORTED
