"""Models in the format of ONNX: answers equal to onnxruntime's and scikit-learn's, and refusals of what reaches out."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.drafts import load_of, loadable
from harness.lab import Lab
from hotswap.batch import Ask, Code, Format, Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper  # noqa: E402 - only where it is installed

from fakes.onnx_files import value, written  # noqa: E402

pytestmark = pytest.mark.onnx
MODELS = Path(__file__).parents[2] / "models" / "onnx"
TRAINED = sorted(path.stem for path in MODELS.glob("*.json"))
TOLERANCE = 1e-6  # float32
FLOWERS = Configuration(runtime={"columns": "a,b,c,d"})


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab.of(tmp_path_factory.mktemp("lab") / "fast", "onnx") as made:
        yield made


def session_of(model: Path) -> Any:
    return onnxruntime.InferenceSession(model.read_bytes(), providers=["CPUExecutionProvider"])


def expected_of(model: Path, rows: list[dict[str, Any]]) -> list[Any]:
    session = session_of(model)
    feeds = {}
    for tensor in session.get_inputs():
        is_text = "string" in tensor.type
        values = [row[tensor.name] if is_text or row[tensor.name] is not None else np.nan for row in rows]
        array = np.array(values, object if is_text else np.float32)
        feeds[tensor.name] = array.reshape(len(rows), *[size for size in tensor.shape[1:] if size is not None])
    return session.run(None, feeds)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", TRAINED)
def test_protobuf_json_and_the_library_agree(lab: Lab, name: str) -> None:
    kept = json.loads((MODELS / f"{name}.json").read_text())
    operation, load = loadable(lab, MODELS / f"{name}.onnx")
    lab.load(load)
    rows = [{key: value for key, value in row.items() if value is not None} for row in kept["rows"]]

    answers, _ = lab.score([operation.input(**row).SerializeToString() for row in rows])
    texts, _ = lab.score(
        [json.dumps(row).encode() for row in rows], [Ask("", Format.JSON, Format.PROTOBUF) for _ in rows]
    )

    assert list(texts) == list(answers)
    messages = [operation.output.FromString(answer) for answer in answers]
    if name == "mood":
        return  # its locale is not installed everywhere, and onnxruntime loads it nowhere else
    library = expected_of(MODELS / f"{name}.onnx", kept["rows"])
    predicted = [getattr(message, operation.output.DESCRIPTOR.fields[0].name) for message in messages]
    if name == "ridge":
        np.testing.assert_allclose(predicted, np.ravel(library[0]), rtol=TOLERANCE)
        np.testing.assert_allclose(predicted, kept["predict"], rtol=1e-4)
    else:
        assert [str(value) for value in predicted] == [str(value) for value in np.ravel(library[0])]
        assert [str(value) for value in predicted] == [str(value) for value in kept["predict"]]
    if "probabilities" in kept:
        names = [field.name for field in operation.output.DESCRIPTOR.fields][1:]
        given = [[getattr(message, field) for field in names] for message in messages]
        np.testing.assert_allclose(given, kept["probabilities"], rtol=1e-4, atol=1e-6)


def test_the_library_reports_nothing_to_its_makers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    with Lab.of(tmp_path / "lab", "onnx") as lab:
        lab.describe(load_of("onnx", MODELS / "ridge.onnx"))

    assert "telemetry" not in capfd.readouterr().err  # which complains in the sandbox, where it cannot keep its files


def test_an_image_is_a_vector_in_the_order_of_its_pixels(lab: Lab) -> None:
    operation, load = loadable(lab, MODELS / "net.onnx")
    lab.load(load)
    images = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)

    answers, _ = lab.score([operation.input(image=image.ravel().tolist()).SerializeToString() for image in images])

    (expected,) = session_of(MODELS / "net.onnx").run(None, {"image": images})
    given = [
        [getattr(message, f"output_{place}") for place in range(10)]
        for message in map(operation.output.FromString, answers)
    ]
    np.testing.assert_allclose(given, expected, rtol=TOLERANCE)


def test_a_vector_of_another_length_is_refused_alone(lab: Lab) -> None:
    operation, load = loadable(lab, MODELS / "ridge.onnx")
    lab.load(load)
    good, bad = (operation.input(X=[1.0] * count).SerializeToString() for count in (4, 5))

    answers, _ = lab.score([good, bad, good])

    assert answers[0] == answers[2]
    assert isinstance(answers[1], Refusal)
    assert "4" in answers[1].message


def test_the_elements_of_a_vector_have_the_names_that_the_configuration_gives(lab: Lab) -> None:
    operation, load = loadable(lab, MODELS / "gbm.onnx", FLOWERS)
    ready = lab.load(load)

    assert [field.name for field in operation.input.DESCRIPTOR.fields] == ["a", "b", "c", "d"]
    assert set(ready.paths.values()) == {"in the JVM"}


def test_whole_numbers_and_truths_keep_every_digit_and_refuse_what_they_cannot_hold(lab: Lab, tmp_path: Path) -> None:
    model = written(
        tmp_path / "m.onnx",
        [helper.make_node("Add", ["count", "count"], ["twice"]), helper.make_node("Not", ["flag"], ["other"])],
        [value("count", TensorProto.INT64), value("flag", TensorProto.BOOL)],
        [value("twice", TensorProto.INT64), value("other", TensorProto.BOOL)],
    )
    operation, load = loadable(lab, model)
    lab.load(load)
    big = (1 << 60) + 1

    answers, _ = lab.score(
        [operation.input(**row).SerializeToString() for row in ({"count": big, "flag": True}, {"flag": False})]
    )

    message = operation.output.FromString(answers[0])
    assert (message.twice, message.other) == (2 * big, "false")
    assert isinstance(answers[1], Refusal)
    assert answers[1].code is Code.MODEL_ERROR
    assert "`count` has no value" in answers[1].message


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("a pickle", SwapCode.MODEL_INVALID, "a Python pickle"),
        ("a custom operator", SwapCode.MODEL_UNSUPPORTED, "custom operator evil.Run"),
        ("data elsewhere", SwapCode.MODEL_UNSUPPORTED, "is in another file"),
        ("a later opset", SwapCode.MODEL_UNSUPPORTED, "onnxruntime"),
        ("a fixed batch", SwapCode.MODEL_UNSUPPORTED, "a first dimension of any size"),
        ("a sequence", SwapCode.MODEL_UNSUPPORTED, "no output that an answer can hold"),
        ("a row of terabytes", SwapCode.MODEL_UNSUPPORTED, "16,777,216 elements at most"),
        ("an answer of terabytes", SwapCode.MODEL_UNSUPPORTED, "no output that an answer can hold"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_with_the_reason(
    lab: Lab, tmp_path: Path, name: str, code: SwapCode, words: str
) -> None:
    path, numbers = tmp_path / "m.onnx", [value("x", TensorProto.FLOAT)]
    double = helper.make_node("Add", ["x", "x"], ["y"])
    outputs = [value("y", TensorProto.FLOAT)]
    if name == "a pickle":
        path.write_bytes(pickle.dumps({"a": 1}))
    elif name == "a custom operator":
        written(path, [helper.make_node("Run", ["x"], ["y"], domain="evil")], numbers, outputs, domain="evil")
    elif name == "data elsewhere":
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="../../etc/passwd")
        written(path, [helper.make_node("Add", ["x", "w"], ["y"])], numbers, outputs, initializer=[tensor])
    elif name == "a later opset":
        graph = helper.make_graph([double], "g", numbers, outputs)
        opsets = [helper.make_opsetid("", 999)]
        path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())
    elif name == "a fixed batch":
        fixed = [helper.make_tensor_value_info(each, TensorProto.FLOAT, [1, 3]) for each in "xy"]
        written(path, [double], fixed[:1], fixed[1:])
    elif name == "a row of terabytes":
        written(path, [double], [value("x", TensorProto.FLOAT, 1 << 40)], outputs)
    elif name == "an answer of terabytes":
        written(path, [double], [value("x", TensorProto.FLOAT, "k")], [value("y", TensorProto.FLOAT, 1 << 40)])
    else:
        sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
        written(path, [helper.make_node("SequenceConstruct", ["x"], ["y"])], numbers, [sequence])

    with pytest.raises(SwapError, match=words) as raised:
        lab.describe(load_of("onnx", path))

    assert raised.value.code is code


def test_a_label_that_was_cast_to_a_number_is_a_number(lab: Lab, tmp_path: Path) -> None:
    table = helper.make_tensor("t", TensorProto.INT64, [3], [5, 7, 9])
    nodes = [helper.make_node("Gather", ["t", "x"], ["label"]), helper.make_node("Cast", ["label"], ["y"], to=1)]
    outputs = [value("label", TensorProto.INT64), value("y", TensorProto.FLOAT)]
    model = written(tmp_path / "m.onnx", nodes, [value("x", TensorProto.INT64)], outputs, initializer=[table])
    operation, load = loadable(lab, model)
    lab.load(load)

    answers, _ = lab.score([operation.input(x=place).SerializeToString() for place in range(3)])

    messages = [operation.output.FromString(answer) for answer in answers]
    assert [(message.label, message.y) for message in messages] == [("5", 5.0), ("7", 7.0), ("9", 9.0)]


def test_a_table_of_numbers_is_no_list_of_labels(lab: Lab, tmp_path: Path) -> None:
    table = helper.make_tensor("t", TensorProto.FLOAT, [2], [0.5, 0.1])
    nodes = [helper.make_node("Gather", ["t", "x"], ["y"])]
    inputs, outputs = [value("x", TensorProto.INT64)], [value("y", TensorProto.FLOAT)]
    operation, load = loadable(lab, written(tmp_path / "m.onnx", nodes, inputs, outputs, initializer=[table]))
    lab.load(load)

    (answer,), _ = lab.score([operation.input(x=1).SerializeToString()])

    assert operation.output.FromString(answer).y == pytest.approx(0.1)


def test_an_output_without_a_row_for_each_of_the_batch_refuses_the_request(lab: Lab, tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node("Transpose", ["places"], ["y"])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT64, ["M", 1])]
    operation, load = loadable(lab, written(tmp_path / "m.onnx", nodes, [value("x", TensorProto.FLOAT)], outputs))
    lab.load(load)

    answers, _ = lab.score([operation.input(x=number).SerializeToString() for number in (0.0, 2.0)])

    assert isinstance(answers[0], Refusal)
    assert answers[0].code is Code.MODEL_ERROR
    assert "has the shape (0, 1) for a batch of 1 rows" in answers[0].message
    assert not isinstance(answers[1], Refusal)


def test_a_truth_that_is_neither_is_refused(lab: Lab, tmp_path: Path) -> None:
    nodes = [helper.make_node("Not", ["x"], ["y"])]
    inputs, outputs = [value("x", TensorProto.BOOL)], [value("y", TensorProto.BOOL)]
    operation, load = loadable(lab, written(tmp_path / "m.onnx", nodes, inputs, outputs))
    lab.load(load)

    (good, bad), _ = lab.score([operation.input(x=number).SerializeToString() for number in (1, 0.5)])

    assert operation.output.FromString(good).y == "false"
    assert isinstance(bad, Refusal)


def test_a_zip_map_without_classes_is_a_vector(lab: Lab, tmp_path: Path) -> None:
    nodes = [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml")]
    outputs = [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)]
    model = written(tmp_path / "m.onnx", nodes, [value("x", TensorProto.FLOAT, 2)], outputs, domain="ai.onnx.ml")

    assert [output.name for output in lab.describe(load_of("onnx", model)).outputs or ()] == ["y", "y_0", "y_1"]


def test_a_folder_brings_its_external_data_and_no_other_file(lab: Lab, tmp_path: Path) -> None:
    weights = np.arange(1_000, dtype=np.float32)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "weights.bin").write_bytes(weights.tobytes())
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1_000], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="weights.bin")
    nodes = [helper.make_node("ReduceSum", ["w"], ["s"], keepdims=0), helper.make_node("Add", ["x", "s"], ["y"])]
    written(
        tmp_path / "m" / "m.onnx", nodes, [value("x", TensorProto.FLOAT)], [value("y", TensorProto.FLOAT)],
        initializer=[tensor],
    )  # fmt: skip
    operation, load = loadable(lab, tmp_path)
    lab.load(load)

    (answer,), _ = lab.score([operation.input(x=1.0).SerializeToString()])
    assert operation.output.FromString(answer).y == 1.0 + weights.sum()
    (tmp_path / "m" / "*" / "_ORT_MEM_ADDR_").mkdir(parents=True)
    (tmp_path / "m" / "*" / "_ORT_MEM_ADDR_" / "*").write_bytes(weights.tobytes())
    for places in (["../weights.bin"], ["weights.bin", "../weights.bin"], [], ["*/_ORT_MEM_ADDR_/*"]):
        del tensor.external_data[:]
        for place in places:
            tensor.external_data.add(key="location", value=place)
        written(
            tmp_path / "m" / "m.onnx", nodes, [value("x", TensorProto.FLOAT)], [value("y", TensorProto.FLOAT)],
            initializer=[tensor],
        )  # fmt: skip
        with pytest.raises(SwapError, match="not a file of the artifact"):
            lab.describe(load_of("onnx", tmp_path))
