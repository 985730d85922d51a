"""ONNX models by the fast path and through Python: the same bytes and refusals, whatever the columns and fields."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.flat import Requests
from harness.drafts import REQUESTS, agree, load_of, loadable
from harness.lab import Lab
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Policy

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
from onnx import TensorProto, helper

from fakes.onnx_files import value, written

pytestmark = pytest.mark.onnx
MODELS = Path(__file__).parents[2] / "models" / "onnx"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "fast", "onnx") as made:
        yield made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab") / "plain", "onnx", main="fakes.plain_lab")
    yield made
    made.close()


def mixed(path: Path) -> Path:
    """Write a model of every kind of column, of whole numbers and vectors among its outputs."""
    inputs = [
        value("x", TensorProto.FLOAT, 1),
        value("count", TensorProto.INT64),
        value("small", TensorProto.INT8),
        value("color", TensorProto.STRING),
        value("vector", TensorProto.DOUBLE, 3),
        value("tokens", TensorProto.INT32, 2),
        value("is_on", TensorProto.BOOL),
    ]
    words = ["blue", "green", "red"]
    nodes = [
        helper.make_node("LabelEncoder", ["color"], ["number"], domain="ai.onnx.ml", keys_strings=words,
                         values_int64s=[0, 1, 2], default_int64=-7),
        helper.make_node("Add", ["number", "count"], ["sum"]),
        helper.make_node("Cast", ["tokens"], ["ids"], to=TensorProto.DOUBLE),
        helper.make_node("Concat", ["vector", "ids"], ["all"], axis=1),
        helper.make_node("Cast", ["is_on"], ["bit"], to=TensorProto.INT8),
        helper.make_node("Add", ["bit", "small"], ["wrapped"]),
        helper.make_node("Add", ["x", "x"], ["twice"]),
    ]  # fmt: skip
    outputs = [
        value("sum", TensorProto.INT64),
        value("all", TensorProto.DOUBLE, 5),
        value("wrapped", TensorProto.INT8),
        value("twice", TensorProto.FLOAT, 1),
    ]
    return written(path, nodes, inputs, outputs, domain="ai.onnx.ml")


COLUMNS = """double x = 1; int64 count = 2; int32 small = 3; string color = 4; repeated double vector = 5;
repeated int64 tokens = 6; bool is_on = 7; string note = 8; bytes raw = 9;"""
OPTIONAL = COLUMNS.replace("int64 count", "optional sint64 count").replace("string color", "optional string color")
ANSWER = "message A { int64 sum = 1; repeated double all = 2; sint32 wrapped = 3; float twice = 4; }"
PROTOS = {
    "a row": f"message R {{ {COLUMNS} }} {ANSWER}",
    "rows": f"message Row {{ {COLUMNS} }} message R {{ repeated Row rows = 1; string note = 2; }} "
    f"{ANSWER.replace('message A', 'message Answer')} message A {{ repeated Answer answers = 3; }}",
    "optional": f"message R {{ {OPTIONAL} }} "
    "message A { optional uint32 sum = 1; repeated float all = 20; int32 wrapped = 3; double twice = 4; }",
    "other types": "message R { float x = 1; uint32 count = 2; sint32 small = 3; string color = 4; "
    "repeated float vector = 50; repeated sint32 tokens = 6; int32 is_on = 7; } "
    "message A { uint64 sum = 1; sint64 wrapped = 300; }",
}


@pytest.mark.parametrize("policy", [Policy.ACCEPT, Policy.REFUSE])
@pytest.mark.parametrize("name", PROTOS)
def test_every_kind_of_column_has_the_same_answer_on_both_paths(
    lab: Lab, plain: Lab, tmp_path: Path, name: str, policy: Policy
) -> None:
    proto = f'syntax = "proto3"; {PROTOS[name]} service S {{ rpc score(R) returns (A); }}'
    load = load_of("onnx", mixed(tmp_path / "m.onnx"), proto, Configuration(missing=policy))
    (operation,) = compile_proto(proto.encode()).operations.values()
    requests = Requests(operation, seed=5, widths={"vector": 3, "tokens": 2}).take(REQUESTS)

    assert agree(lab, plain, load, [*requests, *(request * 2 for request in requests[:500])]) > 0


def test_texts_are_numbered_anew_after_many(lab: Lab, plain: Lab, tmp_path: Path) -> None:
    operation, load = loadable(lab, mixed(tmp_path / "m.onnx"))
    rows = {"x": 1.0, "count": 2, "small": 3, "vector": [0.5] * 3, "tokens": [1, 2], "is_on": True}
    words = ["blue", "green", "red", *(f"a word {place}" for place in range(66_000)), *["red", "blue", "green"] * 500]

    agree(lab, plain, load, [operation.input(color=word, **rows).SerializeToString() for word in words])


def test_the_fast_path_and_the_fallback_return_the_same_bytes_and_refusals(lab: Lab, plain: Lab) -> None:
    operation, load = loadable(lab, MODELS / "gbm.onnx", Configuration(runtime={"columns": "a,b,c,d"}))
    assert agree(lab, plain, load, Requests(operation, seed=3).take(REQUESTS)) > 0
