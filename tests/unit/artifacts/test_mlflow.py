import zipfile
from pathlib import Path

import pytest

from hotswap.artifacts.detect import UnknownKind, as_file, explain, find_kind
from hotswap.artifacts.mlflow import own_kind
from hotswap.artifacts.pickles import first_pickle

MODELS = Path(__file__).parents[2] / "models" / "python"
KINDS = {
    "mlflow_code": "python",
    "mlflow_lightgbm": "python",
    "mlflow_onnx": "python",
    "mlflow_pickled": "python-pickle",
    "mlflow_sklearn": "python-pickle",
    "mlflow_skops": "python-pickle",
}
OWN = {"mlflow_lightgbm": ("lightgbm", "model.lgb"), "mlflow_onnx": ("onnx", "")}
SKOPS = (
    "flavors:\n  python_function: {loader_module: mlflow.sklearn, model_path: model.skops}\n"
    "  sklearn: {pickled_model: model.skops, serialization_format: FORMAT, skops_trusted_types: TRUSTED}\n"
)


def folder_of(tmp_path, mlmodel, *files):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "MLmodel").write_text(mlmodel)
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_an_mlflow_folder_is_detected_as_that_of_its_zip(name):
    folder = MODELS / name / "artifact"
    with as_file(folder) as file:
        assert find_kind(folder) == find_kind(file) == KINDS[name]
        assert explain(folder) == explain(file) == ""


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_ours_for_an_mlflow_folder_is_named_with_its_file(name):
    kind, file = OWN.get(name, (None, None))
    folder = MODELS / name / "artifact"

    assert own_kind(folder) == (kind and (kind, folder / file))


@pytest.mark.parametrize(
    ("flavor", "file", "kind"),
    [
        ("xgboost: {data: model.ubj, model_class: xgboost.core.Booster}", "model.ubj", "xgboost"),
        ("xgboost: {data: model.json, model_class: xgboost.core.Booster}", "model.json", "xgboost"),
        ("xgboost: {data: model.xgb}", "model.xgb", None),
        ("xgboost: {data: model.ubj, model_class: xgboost.sklearn.XGBClassifier}", "model.ubj", None),
        ("lightgbm: {data: model.pkl, model_class: lightgbm.sklearn.LGBMClassifier}", "model.pkl", None),
        ("onnx: {data: ../model.onnx}", "../model.onnx", None),
        ("onnx: {data: absent.onnx}", "model.onnx", None),
        ("onnx: {data: 7}", "model.onnx", None),
        ("sklearn: {pickled_model: model.pkl}", "model.pkl", None),
    ],
)
def test_only_a_file_that_a_kind_of_ours_loads_is_offered_to_it(tmp_path, flavor, file, kind):
    folder = tmp_path / "model"
    folder.mkdir()

    found = own_kind(folder_of(folder, f"flavors:\n  {flavor}\n", file))

    assert found == (kind and (kind, folder / file))


def test_a_pipeline_of_spark_is_offered_to_spark_and_detected_as_before(tmp_path):
    mlmodel = "flavors:\n  python_function: {loader_module: mlflow.spark}\n  spark: {model_data: sparkml}\n"
    folder_of(tmp_path, mlmodel, "sparkml/metadata/part-00000")

    assert (own_kind(tmp_path), find_kind(tmp_path)) == (("spark", tmp_path / "sparkml"), "spark")


@pytest.mark.parametrize("mlmodel", ["", "flavors: [", "flavors: {onnx: []}", "flavors: {spark: 7}"])
def test_of_a_malformed_mlmodel_no_kind_of_ours_is_named(tmp_path, mlmodel):
    assert own_kind(folder_of(tmp_path, mlmodel)) is None
    assert own_kind(tmp_path / "absent") is None


@pytest.mark.parametrize(
    ("form", "trusted", "found"),
    [
        ("skops", "null", ""),
        ("skops", "[]", ""),
        ("skops", "[os.system]", "model.skops"),
        ("pickle", "null", "model.skops"),
        ("cloudpickle", "[]", "model.skops"),
        ("null", "null", "model.skops"),
    ],
)
def test_what_mlmodel_declares_as_a_pickle_is_one_and_so_is_what_only_its_maker_trusts(tmp_path, form, trusted, found):
    folder_of(tmp_path, SKOPS.replace("FORMAT", form).replace("TRUSTED", trusted), "model.skops")

    assert first_pickle(tmp_path) == found
    assert find_kind(tmp_path) == ("python-pickle" if found else "python")


def test_a_python_model_is_a_pickle_whatever_its_file_is_called(tmp_path):
    folder_of(tmp_path, "flavors: {python_function: {loader_module: x, python_model: weights.bin}}", "weights.bin")

    assert first_pickle(tmp_path) == "weights.bin"


@pytest.mark.parametrize(
    ("mlmodel", "why"),
    [
        ("flavors: {mleap: {}, keras: {}}", "is an MLflow folder (flavors mleap, keras): kind python serves one with"),
        (
            "flavors: {h2o: {}, python_function: {}}",
            "is an MLflow folder of an H2O model (flavors h2o, python_function)",
        ),
        ("flavors: [", "has an MLmodel that cannot be read: it is not YAML"),
        ("a: 1", "has an MLmodel that cannot be read: it has no flavors"),
    ],
)
def test_an_mlflow_folder_without_a_function_in_python_is_refused_with_its_flavors(tmp_path, mlmodel, why):
    (tmp_path / "model").mkdir()
    folder_of(tmp_path / "model", mlmodel)
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("MLmodel", mlmodel)
    for path in (tmp_path / "model", tmp_path / "model.zip"):
        with pytest.raises(UnknownKind) as refused:
            find_kind(path)
        assert refused.value.why.startswith(why)
