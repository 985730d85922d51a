"""MLflow's folders as models: answers equal to MLflow's own, in real hosts with guests, and what is refused."""

import importlib.util
import json
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from fakes.python_models import OURS, load_of, proto, serving
from hotswap.batch import Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapCode, SwapError
from hotswap.host.parent import ModelHost
from models.python_cases import difference

pytestmark = [
    pytest.mark.sklearn,
    pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only"),
    pytest.mark.skipif(importlib.util.find_spec("pandas") is None, reason="the environment of the models: pandas"),
]

FOLDERS = Path(__file__).parents[2] / "models" / "python"
THEIRS = replace(OURS, site=sysconfig.get_paths()["purelib"])
"""The interpreter of the tests, with the packages of the tests as the model's."""
PICKLES = {"mlflow_pickled", "mlflow_sklearn", "mlflow_skops"}
NEEDS = {
    "mlflow_code": "pandas",
    "mlflow_lightgbm": "lightgbm",
    "mlflow_onnx": "onnxruntime",
    "mlflow_pickled": "mlflow",
    "mlflow_sklearn": "sklearn",
    "mlflow_skops": "skops",
}
FRAME = "double a = 1; double b = 2; double c = 3;"


def loaded(name: str, source: bytes | None = None, folder: Path | None = None, kind: str = "") -> Any:
    source = source or (FOLDERS / name / "model.proto").read_bytes()
    kind = kind or ("python-pickle" if name in PICKLES else "python")
    return load_of(folder or FOLDERS / name / "artifact", source, kind=kind, interpreter=THEIRS)


async def answered(host: ModelHost, source: bytes, rows: list[dict[str, Any]]) -> list[Any]:
    operation = next(iter(compile_proto(source).operations.values()))
    values = [json_format.ParseDict(row, operation.input()).SerializeToString() for row in rows]
    return [
        answer
        if isinstance(answer, Refusal)
        else json_format.MessageToDict(
            operation.output.FromString(answer),
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )
        for answer in await host.score(values)
    ]


async def refusal_of(load: Any) -> SwapError:
    with pytest.raises(SwapError) as refused:
        async with serving(load):
            pass
    return refused.value


def like(expected: Any, found: Any) -> Any:
    """Return answers with the types of the expected ones: protobuf's JSON writes 64 bits as text, and 2.0 as 2."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: like(expected.get(name), value) for name, value in found.items()}
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [like(*pair) for pair in zip(expected, found, strict=True)]
    return type(expected)(found) if isinstance(expected, int | float) and not isinstance(expected, bool) else found


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """Copy a model's folder, with texts of its MLmodel replaced."""

    def change(name: str, replaced: dict[str, str]) -> Path:
        folder = shutil.copytree(FOLDERS / name / "artifact", tmp_path / "changed")
        text = (folder / "MLmodel").read_text()
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "MLmodel").write_text(text)
        return Path(folder)

    return change


@pytest.mark.parametrize("name", NEEDS)
async def test_a_folder_of_mlflow_answers_as_mlflow_does(name: str) -> None:
    if importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed here")
    rows = json.loads((FOLDERS / name / "rows.json").read_text(encoding="utf-8"))
    expected = json.loads((FOLDERS / name / "expected.json").read_text(encoding="utf-8"))["Predict"]
    async with serving(loaded(name)) as host:
        found = await answered(host, (FOLDERS / name / "model.proto").read_bytes(), rows)

    assert [str(answer) for answer in found if isinstance(answer, Refusal)] == []
    tolerance = 1e-6 if name == "mlflow_onnx" else 1e-9  # float32
    assert difference(expected, like(expected, found), tolerance) is None


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed here")
async def test_a_pickled_python_model_says_that_it_needs_mlflow() -> None:
    refused = await refusal_of(loaded("mlflow_pickled"))

    assert (refused.code, "a pickled PythonModel needs MLflow" in refused.message) == (SwapCode.MODEL_INVALID, True)


@pytest.mark.parametrize(
    ("name", "file"),
    [("mlflow_pickled", "python_model.pkl"), ("mlflow_sklearn", "model.pkl"), ("mlflow_skops", "model.skops")],
)
async def test_pickles_and_what_skops_would_trust_need_the_kind_that_allows_them(name: str, file: str) -> None:
    refused = await refusal_of(loaded(name, kind="python"))

    assert f"the model has a pickle, {file}" in refused.message
    assert "kind python-pickle" in refused.message


async def test_a_file_of_skops_that_trusts_nothing_is_loaded_without_trust(changed: Callable[..., Path]) -> None:
    """The file has a type beyond skops' own; MLmodel does not declare it, so no kind is asked, and skops refuses."""
    folder = changed(
        "mlflow_skops", {"skops_trusted_types:\n    - sklearn.tree._tree.Tree": "skops_trusted_types: null"}
    )

    refused = await refusal_of(loaded("mlflow_skops", folder=folder, kind="python"))

    assert "UntrustedTypesFoundException" in refused.message


async def test_the_columns_of_a_matrix_fill_a_field_each() -> None:
    source = proto(FRAME, "double low = 1; double middle = 2; double high = 3;")
    rows = json.loads((FOLDERS / "mlflow_skops" / "rows.json").read_text())
    expected = json.loads((FOLDERS / "mlflow_skops" / "expected.json").read_text())["Predict"]
    async with serving(loaded("mlflow_skops", source)) as host:
        found = await answered(host, source, rows)

    names = ("low", "middle", "high")
    assert [[answer[name] for name in names] for answer in found] == [answer["prediction"] for answer in expected]


async def test_a_nameless_answer_is_the_only_field_whatever_its_name(tmp_path: Path) -> None:
    source = proto("optional double age = 1; int64 visits = 2; optional string city = 3;", "string outcome = 1;")
    async with serving(loaded("mlflow_sklearn", source)) as host:
        (answer,) = await answered(host, source, [{"age": 38.5, "visits": 3, "city": "Bern"}])

    assert answer == {"outcome": "leaves"}


async def test_a_nameless_column_is_the_only_field_whatever_its_name() -> None:
    pytest.importorskip("onnxruntime")
    source = proto("repeated float pixels = 1;", "int64 label = 1;")
    async with serving(loaded("mlflow_onnx", source)) as host:
        answers = await answered(host, source, [{"pixels": [2.0, 0.2, 0.1, 3.2]}, {"pixels": [3.4, 4.4, 2.2, 6.5]}])

    assert answers == [{"label": "0"}, {"label": "2"}]


async def test_each_column_has_the_type_of_the_signature(tmp_path: Path) -> None:
    kinds = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}
    kinds |= {"string": "object", "datetime": "datetime64[ns]"}
    (tmp_path / "types.py").write_text(
        "import mlflow\n"
        "class Model(mlflow.pyfunc.PythonModel):\n"
        "    def predict(self, model_input):\n"
        "        return [' '.join(f'{name}={kind}' for name, kind in model_input.dtypes.items())] * len(model_input)\n"
        "mlflow.models.set_model(Model())\n"
    )
    columns = json.dumps([{"type": kind, "name": kind} for kind in kinds])
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function: {loader_module: mlflow.pyfunc.loaders.code_model, model_code_path: types.py}\n"
        f"signature: {{inputs: '{columns}'}}\n"
    )
    source = proto(
        "double double = 1; float float = 2; int64 long = 3; int32 integer = 4; bool boolean = 5; "
        "optional string string = 6; string datetime = 7;",
        "string seen = 1;",
    )
    async with serving(loaded("", source, tmp_path)) as host:
        (answer,) = await answered(host, source, [{"datetime": "2026-12-03T00:11:46"}])

    assert answer == {"seen": " ".join(f"{name}={kind}" for name, kind in kinds.items())}


async def test_the_signature_is_checked_against_the_proto() -> None:
    source = proto("optional double age = 1; optional string city = 3;", "double prediction = 1;")

    refused = await refusal_of(loaded("mlflow_sklearn", source))

    assert refused.code == SwapCode.SCHEMA_MISMATCH
    assert "column `visits`" in refused.message
    assert "`prediction`" in refused.message


async def test_a_value_that_a_type_of_the_signature_cannot_hold_is_refused_alone() -> None:
    source = proto(
        "double amount = 1; int64 count = 2; optional int64 days = 3; float rate = 4; bool is_member = 5;"
        "optional string country = 6;",
        "double price = 1;",
    )
    plain = {"amount": 1.0, "count": 6, "days": 5}
    rows = [plain, plain | {"days": 1 << 31}, plain | {"days": None}, plain]
    async with serving(loaded("mlflow_code", source)) as host:
        found = await answered(host, source, rows)

    assert [isinstance(answer, Refusal) for answer in found] == [False, True, True, False]
    assert "`days`, row 0: 2147483648.0 is given, and the signature's type integer cannot hold it" in str(found[1])
    assert "`days`, row 0: no value is given" in str(found[2])


async def test_a_vector_of_another_length_than_the_tensor_has_is_refused_alone() -> None:
    pytest.importorskip("onnxruntime")
    source = (FOLDERS / "mlflow_onnx" / "model.proto").read_bytes()
    rows = [{"input": [1, 2, 3, 4]}, {"input": [1, 2]}, {}]
    async with serving(loaded("mlflow_onnx")) as host:
        found = await answered(host, source, rows)

    assert [isinstance(answer, Refusal) for answer in found] == [False, True, True]
    assert "`input`, row 0: 2 values are given, and the signature's shape has 4" in str(found[1])


async def test_a_model_from_code_has_its_artifacts_parameters_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "beside.py").write_text("FACTOR = 2\n")
    (tmp_path / "words.txt").write_text("hello")
    (tmp_path / "model.py").write_text(  # a name that a folder of ours has as well
        "import beside, mlflow\n"
        "class Model(mlflow.pyfunc.PythonModel):\n"
        "    def load_context(self, context):\n"
        "        self.word = open(context.artifacts['words']).read()\n"
        "    def predict(self, context, model_input, params=None):\n"
        "        end = [params['end'], context.model_config['more']]\n"
        "        return [{'y': ' '.join([self.word, str(x * beside.FACTOR), *end])} for x in model_input['x']]\n"
        "mlflow.models.set_model(Model())\n"
    )
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.loaders.code_model\n    code: code\n"
        "    model_code_path: C:\\made\\there\\model.py\n    config: {more: '!'}\n"
        "    artifacts: {words: {path: words.txt, uri: /etc/passwd}}\n"
        'signature:\n  inputs: \'[{"type": "double", "name": "x"}]\'\n'
        '  params: \'[{"name": "end", "type": "string", "default": "end"}]\'\n'
    )
    source = proto("double x = 1;", "string y = 1;")
    async with serving(loaded("", source, tmp_path)) as host:
        answers = await answered(host, source, [{"x": 1.5}, {"x": 0}])

    assert answers == [{"y": "hello 3.0 end !"}, {"y": "hello 0.0 end !"}]


async def test_a_loader_of_the_folders_own_code_is_called(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "weight.txt").write_text("4")
    (tmp_path / "code" / "own.py").write_text(
        "class Model:\n"
        "    def __init__(self, weight): self.weight = weight\n"
        "    def predict(self, frame): return frame['b'] * self.weight + frame['a']\n"
        "def _load_pyfunc(path): return Model(int(open(path).read()))\n"
    )
    (tmp_path / "MLmodel").write_text(
        "flavors: {python_function: {loader_module: own, code: code, data: weight.txt}}\n"
    )
    source = proto("double a = 1; double b = 2;", "double y = 1;")
    async with serving(loaded("", source, tmp_path)) as host:
        answers = await answered(host, source, [{"a": 1.0, "b": 2.0}])

    assert answers == [{"y": 9.0}]


@pytest.mark.parametrize("name", ["core.Booster", "sklearn.XGBClassifier"])
async def test_a_model_of_xgboost_answers_as_xgboost_does(tmp_path: Path, name: str) -> None:
    xgboost = pytest.importorskip("xgboost")
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(60, 3)), columns=list("abc"))
    model = xgboost.XGBClassifier(n_estimators=3).fit(frame, frame["a"] + frame["b"] > 0)
    model.save_model(tmp_path / "model.ubj")
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function: {loader_module: mlflow.xgboost, data: model.ubj}\n"
        f"  xgboost: {{data: model.ubj, model_class: xgboost.{name}}}\n"
        'signature: {inputs: \'[{"type": "double", "name": "a"}, {"type": "double", "name": "b"},'
        ' {"type": "double", "name": "c"}]\'}\n'
    )
    source = proto(FRAME, "double y = 1;")
    async with serving(loaded("", source, tmp_path)) as host:
        answers = await answered(host, source, frame.to_dict("records"))

    expected = model.predict(frame) if name.startswith("sklearn") else model.predict_proba(frame)[:, 1]
    assert np.allclose([float(answer["y"]) for answer in answers], expected, rtol=1e-6)


async def test_a_class_of_another_library_is_not_made_for_xgboost(tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    (tmp_path / "model.ubj").write_bytes(b"")
    (tmp_path / "MLmodel").write_text(
        "flavors:\n  python_function: {loader_module: mlflow.xgboost, data: model.ubj}\n"
        "  xgboost: {data: model.ubj, model_class: subprocess.Popen}\n"
    )

    refused = await refusal_of(loaded("", proto(FRAME, "double y = 1;"), tmp_path))

    assert "the model's class, subprocess.Popen, is not one of xgboost" in refused.message


async def test_an_unsupported_flavor_says_which_are_supported(changed: Callable[..., Path]) -> None:
    folder = changed("mlflow_code", {"mlflow.pyfunc.loaders.code_model": "mlflow.langchain"})

    refused = await refusal_of(loaded("mlflow_code", folder=folder))

    assert refused.code == SwapCode.MODEL_INVALID
    assert (
        "models of MLflow's `mlflow.langchain` are not served; those of sklearn, lightgbm, xgboost" in refused.message
    )
