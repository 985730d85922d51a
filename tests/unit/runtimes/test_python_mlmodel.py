import json
from typing import Any

import pytest
import yaml

from hotswap.errors import SwapCode, SwapError
from hotswap.runtimes.python.fields import Hint
from hotswap.runtimes.python.mlmodel import read_mlmodel

CODE = {"loader_module": "mlflow.pyfunc.loaders.code_model", "model_code_path": "/home/trainer/price.py"}


def folder_of(tmp_path, function: Any, flavors: Any = None, **more: Any):
    document = {"flavors": {"python_function": function, **(flavors or {})}, **more}
    (tmp_path / "MLmodel").write_text(yaml.safe_dump(document))
    for name in ("price.py", "model.pkl", "inside/table.json", "code/own.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


def refusal_of(folder) -> str:
    with pytest.raises(SwapError) as refused:
        read_mlmodel(folder)
    assert refused.value.code == SwapCode.MODEL_INVALID
    return refused.value.message


def signature_of(tmp_path, **parts: Any):
    texts = {name: json.dumps(part) for name, part in parts.items()}
    found = read_mlmodel(folder_of(tmp_path, CODE, signature=texts))
    assert found
    return found.signature


def test_a_folder_without_mlmodel_is_not_mlflows(tmp_path):
    assert read_mlmodel(tmp_path) is None


@pytest.mark.parametrize(
    "path", ["/home/trainer/price.py", "C:\\Users\\trainer\\price.py", "../../elsewhere/price.py", "price.py"]
)
def test_of_the_path_where_code_was_made_only_the_name_counts(tmp_path, path):
    found = read_mlmodel(folder_of(tmp_path, CODE | {"model_code_path": path}))
    assert found
    assert found.order["file"] == "price.py"


OUTSIDE = [
    *("/etc/passwd", "../secret", "inside/../../secret", ".\\..\\secret", "absent", "link", "loop", "x" * 5000),
    *("", "a\0b", None, 7, ["a"]),
]
PLACES = {
    "model_code_path": lambda path: (CODE | {"model_code_path": path}, {}),
    "python_model": lambda path: ({"loader_module": "mlflow.pyfunc.model", "python_model": path}, {}),
    "data": lambda path: ({"loader_module": "mlflow.onnx", "data": path}, {"onnx": {"data": path}}),
    "artifact": lambda path: (CODE | {"artifacts": {"a": {"path": path}}}, {}),
    "code": lambda path: (CODE | {"code": path}, {}),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: repr(path)[:30])
def test_a_path_out_of_the_folder_is_refused(tmp_path, place, path):
    if place == "code" and not path:
        pytest.skip("there is no code then")
    (tmp_path / "secret").write_text("")
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to("../secret")
    (folder / "loop").symlink_to("loop")

    assert f"`{place}" in refusal_of(folder_of(folder, *PLACES[place](path)))


@pytest.mark.parametrize("name", ["/", "..", "/home/trainer/..", "C:\\", "."])
def test_code_whose_name_is_none_is_refused(tmp_path, name):
    assert "`model_code_path`" in refusal_of(folder_of(tmp_path, CODE | {"model_code_path": name}))


def test_a_path_that_leads_back_into_the_folder_is_refused_as_well(tmp_path):
    for path in ("inside/../price.py", str(tmp_path / "price.py")):
        assert "`python_model`" in refusal_of(folder_of(tmp_path, *PLACES["python_model"](path)))


def test_links_within_the_folder_are_followed(tmp_path):
    (tmp_path / "table").symlink_to("inside/table.json")

    found = read_mlmodel(folder_of(tmp_path, CODE | {"artifacts": {"table": {"path": "table", "uri": "/etc/passwd"}}}))

    assert found
    assert found.order["artifacts"] == {"table": "table"}


BOMB = "\n".join([f"a0: &a0 {['x'] * 9}", *(f"a{n}: &a{n} {[f'*a{n - 1}'] * 9}".replace("'", "") for n in range(1, 9))])
MERGES = "\n".join(["m0: &m0 {k: v}", *(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}" for n in range(1, 40))])
MALFORMED = {
    "alias bomb": (BOMB, "it has more than 8 aliases"),
    "bomb of merges": (MERGES, "it has more than 8 aliases"),
    "too large": ("# " + "x" * (256 << 10), "it has more than the 262,144 bytes allowed"),
    "too deep": ("[" * 50_000, "it is nested too deeply"),
    "not YAML": ("flavors: [", "it is not YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", "it is not YAML"),
    "an object of Python": ("flavors: !!python/object/apply:os.system ['true']", "it is not YAML"),
    "not a mapping": ("- 1", "it is not a mapping"),
    "no text": ("\udcff", "does not fit"),
    "empty": ("", "it is not a mapping"),
    "no flavors": ("a: 1", "`flavors` is not a mapping"),
    "flavors of a text": ("flavors: sklearn", "`flavors` is not a mapping"),
    "no python_function": ("flavors: {mleap: {}, spark: {}}", "no flavor python_function, but mleap, spark"),
    "a year beyond": ("when: 2026-99-99", "does not fit"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_mlmodel_is_refused_with_what_is_wrong(tmp_path, name):
    text, why = MALFORMED[name]
    (tmp_path / "MLmodel").write_bytes(text.encode(errors="surrogateescape"))

    assert why in refusal_of(tmp_path)


def test_a_document_that_contains_itself_is_refused(tmp_path):
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.loaders.code_model\n"
        "    model_code_path: price.py\n    config: &c {again: *c}\n"
    )
    (tmp_path / "price.py").write_text("")

    assert "`config` holds what JSON does not" in refusal_of(tmp_path)


@pytest.mark.parametrize("config", ["{1: a}", "{a: 2026-12-03}", "{a: .nan}"])
def test_a_configuration_that_json_would_change_is_refused(tmp_path, config):
    folder = folder_of(tmp_path, CODE | {"config": yaml.safe_load(config)})

    assert "`config` holds what JSON does not" in refusal_of(folder)


@pytest.mark.parametrize(
    "module", ["mlflow.langchain", "mlflow.pyfunc.loaders.chat_model", "os", "own", None, 7, ["x"]]
)
def test_a_loader_that_is_not_served_says_which_are(tmp_path, module):
    text = refusal_of(folder_of(tmp_path, {"loader_module": module}))

    assert f"models of MLflow's `{module}` are not served; those of sklearn, lightgbm, xgboost and onnx are" in text


def test_a_loader_of_the_folders_code_is_one_that_is_no_part_of_mlflow(tmp_path):
    found = read_mlmodel(folder_of(tmp_path, {"loader_module": "own.loader", "code": "code"}))

    assert found
    assert (found.order["loader"], found.order["module"], found.order["file"]) == ("module", "own.loader", ".")
    for module in ("mlflow.transformers", "own; import os", "own..x"):
        assert "are not served" in refusal_of(folder_of(tmp_path, {"loader_module": module, "code": "code"}))


def test_only_methods_that_predict_are_called(tmp_path):
    sklearn = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "predict_fn": "__reduce__"}

    assert "predict_fn `__reduce__` is not served" in refusal_of(folder_of(tmp_path, sklearn))


def test_a_signature_declares_columns_and_answers(tmp_path):
    kinds = ["double", "float", "long", "integer", "boolean", "string", "datetime"]
    inputs = [{"name": kind, "type": kind, "required": kind != "double"} for kind in kinds]
    inputs += [{"name": "list", "type": "array", "items": {"type": "float"}}]
    outputs = [{"name": "p", "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]
    found = signature_of(tmp_path, inputs=inputs, outputs=outputs, params=[{"name": "x", "default": 2}])

    types = ["number", "number", "whole", "whole", "flag", "text", "text", "numbers"]
    names = [*kinds, "list"]
    assert found.columns == [Hint(name, kind, name == "double") for name, kind in zip(names, types, strict=True)]
    assert found.answers == [Hint("p", "numbers", False)]
    assert (found.nameless, found.order["params"]) == ((False, False), {"x": 2})


@pytest.mark.parametrize(
    ("dtype", "shape", "kind"),
    [("float64", [-1], "number"), ("int64", [-1], "whole"), ("bool", [-1], "flag"), ("str", [-1], "text"),
     ("float32", [-1, 4], "numbers"), ("uint8", [-1, 2, 2], "wholes"), ("object", [-1, 2], "texts")],
)  # fmt: skip
def test_a_nameless_tensor_is_one_column_or_answer(tmp_path, dtype, shape, kind):
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}]
    found = signature_of(tmp_path, inputs=tensor, outputs=tensor)

    assert (found.columns, found.answers) == ([Hint("input", kind, False)], [Hint("prediction", kind, False)])
    assert found.nameless == (True, True)


@pytest.mark.parametrize("signature", [{}, None, {"inputs": None, "outputs": None, "params": None}])
def test_without_a_signature_nothing_is_declared(tmp_path, signature):
    found = read_mlmodel(folder_of(tmp_path, CODE, signature=signature))

    assert found
    assert (found.signature.columns, found.signature.answers, found.order["columns"]) == (None, None, [])


def test_columns_without_names_are_those_of_the_proto(tmp_path):
    found = signature_of(tmp_path, inputs=[{"type": "double"}, {"type": "long"}])

    assert (found.columns, found.order["columns"]) == (None, [["", "double", None], ["", "long", None]])


UNFIT = {
    "column `image` is of the type binary": [{"name": "image", "type": "binary"}],
    "column `input` is of the type str [-1, -1]": [
        {"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [-1, -1]}}
    ],
    "column `input` is of the type str [4]": [{"type": "tensor", "tensor-spec": {"dtype": "str", "shape": [4]}}],
    "has no shape": [{"type": "tensor", "tensor-spec": {"dtype": "float32"}}],
    "without a name": [{"name": "a", "type": "double"}, {"type": "double"}],
    "two of one name": [{"name": "a", "type": "double"}] * 2,
    "are not a list in JSON": {"a": 1},
    "for a name or a type": [{"name": 7, "type": "double"}],
}  # fmt: skip


@pytest.mark.parametrize("why", UNFIT)
def test_a_signature_that_no_proto_fits_is_refused(tmp_path, why):
    assert why in refusal_of(folder_of(tmp_path, CODE, signature={"inputs": json.dumps(UNFIT[why])}))


def test_a_signature_of_type_hints_is_refused(tmp_path):
    assert "type hints" in refusal_of(folder_of(tmp_path, CODE, is_signature_from_type_hint=True))


def test_mlmodel_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "MLmodel").symlink_to("MLmodel")

    assert "is unreadable" in refusal_of(tmp_path)
