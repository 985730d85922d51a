"""What strangers bring is called what it is: real files where these are small, else how their format begins."""

import gzip
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest

from hotswap.artifacts.archive import write_zip
from hotswap.artifacts.detect import UnknownKind, explain, find_kind
from hotswap.artifacts.foreign import describe

STRANGERS = Path(__file__).parents[2] / "models" / "strangers"
MOJOS = STRANGERS.parent / "h2o"
REAL = {
    "sk0.pkl": "a Python pickle of scikit-learn",
    "sk4.pkl": "a Python pickle of scikit-learn",
    "sk.joblib": "a joblib file of scikit-learn",
    "sk_zlib.joblib": "a joblib file of scikit-learn",
    "sk_gzip.joblib": "a joblib file of scikit-learn",
    "sk_bz2.joblib": "a joblib file of scikit-learn",
    "sk_xz.joblib": "a joblib file of scikit-learn",
    "sk_lzma.joblib": "a joblib file of scikit-learn",
    "m.safetensors": "a safetensors file, which holds weights alone",
    "gbm_small.java": "the Java source of an H2O model (a POJO)",
    "glm_small": "H2O's binary model of version 3.46.0.11",
}
FILES = {
    "an empty file": b"",
    "a pointer of Git LFS, not the file itself": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n",
    "a model or weights of PyTorch": b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.",
    "a Python pickle": pickle.dumps({"a": 1}, 2),
    "a dump of XGBoost's trees": b"booster[0]:\n0:leaf=0.5\n",
    "a dump of LightGBM's trees": b'{"name":"tree","version":"v4"}',
    "a Python pickle of LightGBM": b"\x80\x04\x95W"
    + bytes(7)
    + b"\x8c\x10lightgbm.sklearn\x94\x8c\x0eLGBMClassifier\x94\x93",
    "a model of CatBoost": b"CBM1\x10\x00\x00\x00",
    "a PMML document": b'<?xml version="1.0"?>\n<PMML xmlns="http://www.dmg.org/PMML-4_4" version="4.4"/>',
    "a CoreML model": b"\x08\x04\x12\x02\x0a\x00\x9a\x19\x00",
    "a TensorFlow Lite model": b"\x1c\x00\x00\x00TFL3\x14\x00",
    "an HDF5 file, as Keras writes": b"\x89HDF\r\n\x1a\n\x00",
    "an OpenVINO model": b'<?xml version="1.0"?>\n<net name="m" version="11"><layers/></net>',
    "a GGUF file, which holds weights alone": b"GGUF\x03\x00\x00\x00",
    "an R object": gzip.compress(b"X\n\x00\x00\x00\x03\x00\x04"),
    "a Java class, or a folder of them": b"\xca\xfe\xba\xbe\x00\x00\x00=",
    "no model but NumPy's arrays": b"\x93NUMPY\x01\x00v\x00",
    "no model but a Parquet file": b"PAR1\x15\x04",
    "a web page, perhaps an error of the download": b"\n<!DOCTYPE html><title>403</title>",
    "no model but text": "sepal_length,größe\n5.1,3\n".encode(),
}
FOLDERS = {
    "an MLflow folder (flavors python_function, sklearn)": {
        "MLmodel": b"artifact_path: m\nflavors:\n  python_function:\n    env: {}\n  sklearn:\n    model: m.pkl\n",
        "model.pkl": b"",
    },
    "an MLflow folder of an H2O model (flavors h2o)": {"MLmodel": b"flavors:\n  h2o:\n    data: model.h2o\n"},
    "a MOJO with a folder my_mojo/ around it": {"my_mojo/model.ini": b"", "my_mojo/domains/d000.txt": b""},
    "a MOJO pipeline of Driverless AI": {"mojo-pipeline/pipeline.mojo": b"", "mojo-pipeline/mojo2-runtime.jar": b""},
    "a TorchScript model of PyTorch": {"net/data.pkl": b"", "net/version": b"3", "net/constants.pkl": b""},
    "a model or weights of PyTorch": {"archive/data.pkl": b"", "archive/version": b"3", "archive/data/0": b""},
    "a SavedModel of TensorFlow": {"saved_model.pb": b"", "variables/variables.index": b""},
    "a model of Keras": {"config.json": b"", "metadata.json": b"", "model.weights.h5": b""},
    "a model of Hugging Face": {"config.json": b"", "model.safetensors": b""},
    "a CoreML model": {"Manifest.json": b"", "Data/com.apple.CoreML/model.mlmodel": b""},
    "an MLeap bundle": {"bundle.json": b"", "root/model.json": b""},
    "no model but NumPy's arrays": {"arr_0.npy": b""},
    "a Spark pipeline in its folder runs/3/": {
        "runs/3/metadata/part-00000": b"",
        "runs/3/stages/0_A/metadata/part-0": b"",
    },
    "an archive with others in it (a.zip, b.jar)": {"a.zip": b"", "b.jar": b"", "readme.txt": b""},
    "a Java class, or a folder of them": {"iris/Model.class": b"", "iris/Row.class": b""},
}


@pytest.mark.parametrize("name", REAL)
def test_a_file_of_another_library_is_called_what_it_is(name):
    with pytest.raises(UnknownKind) as refused:
        find_kind(STRANGERS / name)

    assert refused.value.why.startswith(f"is {REAL[name]}: ")
    assert str(refused.value) == f"{STRANGERS / name} {refused.value.why}"
    assert "--kind" not in str(refused.value)
    assert any(advice in refused.value.why for advice in ("no kind serves it", "export its MOJO"))


def test_a_model_in_the_format_of_onnx_is_recognized_by_its_content(tmp_path):
    (tmp_path / "model").write_bytes((STRANGERS / "m.onnx").read_bytes())

    assert find_kind(tmp_path / "model") == find_kind(STRANGERS / "m.onnx") == "onnx"


@pytest.mark.parametrize("name", ["xgb.json", "xgb.ubj"])
def test_a_model_of_xgboost_is_recognized_by_its_content(tmp_path, name):
    (tmp_path / "model").write_bytes((STRANGERS / name).read_bytes())

    assert find_kind(tmp_path / "model") == find_kind(STRANGERS / name) == "xgboost"
    assert explain(tmp_path / "model", "xgboost") == ""
    assert explain(tmp_path / "model", "onnx") == "is a model of XGBoost: pass it as kind xgboost"


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_of_xgboost_is_told_how_to_save_the_model(tmp_path, protocol):
    (tmp_path / "model").write_bytes(pickle.dumps({"xgboost.core": 1}, protocol))

    assert explain(tmp_path / "model").startswith("is a Python pickle or joblib file of XGBoost: load it with ")
    assert 'model.save_model("model.ubj")' in explain(tmp_path / "model")


def test_the_text_of_a_lightgbm_model_is_recognized_by_its_content(tmp_path):
    (tmp_path / "model").write_bytes((STRANGERS / "lgb.txt").read_bytes())

    assert find_kind(tmp_path / "model") == "lightgbm"
    assert explain(tmp_path / "model", "h2o") == "is a model of LightGBM: pass it as kind lightgbm"
    assert explain(tmp_path / "model", "lightgbm") == ""


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_recognized_by_how_its_format_begins(tmp_path, name):
    (tmp_path / "model").write_bytes(FILES[name])

    assert describe(tmp_path / "model").startswith(f"is {name}: ")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_and_its_zip_are_recognized_by_the_names_in_them(tmp_path, name):
    for file, content in FOLDERS[name].items():
        (tmp_path / "model" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / file).write_bytes(content)
    write_zip(tmp_path / "model.zip", FOLDERS[name])

    assert describe(tmp_path / "model").startswith(f"is {name}: ")
    assert describe(tmp_path / "model.zip").startswith(
        f"is {name.partition(' (flavors')[0]}".removesuffix(" of an H2O model")
    )


def test_an_old_booster_is_recognized_in_a_mojo_of_h2o(tmp_path):
    with zipfile.ZipFile(MOJOS / "xgboost_one_hot.zip") as mojo:
        (tmp_path / "booster").write_bytes(mojo.read("boosterBytes"))

    assert describe(tmp_path / "booster").startswith("is a model of XGBoost, in its old binary format: ")


def test_a_tar_is_recognized_through_its_compression(tmp_path):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("model.bin"))
    (tmp_path / "model.tar.gz").write_bytes(made.getvalue())

    assert describe(tmp_path / "model.tar.gz") == "is a tar archive: unpack it, and pass the model in it"


def test_what_is_not_there_or_cannot_be_read_is_not_explained(tmp_path):
    (tmp_path / "loop").symlink_to("loop")

    assert [explain(tmp_path / name) for name in ("absent", "loop", "absent/below")] == ["", "", ""]


def test_what_a_kind_serves_is_never_called_a_strangers(tmp_path):
    write_zip(tmp_path / "stack.zip", {"model.ini": b"", "models/a/model.ini": b""})
    write_zip(tmp_path / "pipeline.zip", {"metadata/part-0": b"", "stages/0_A/metadata/part-0": b""})
    write_zip(tmp_path / "jars.zip", {"a.jar": b"", "b.jar": b""})

    assert [explain(path) for path in sorted(tmp_path.iterdir())] == ["", "", ""]
    assert [explain(path) for path in sorted(MOJOS.glob("*.zip"))[::9]] == [""] * len(sorted(MOJOS.glob("*.zip"))[::9])


@pytest.mark.parametrize("name", ["sk4.pkl", "sk_xz.joblib", "m.onnx", "xgb.ubj", "glm_small"])
def test_no_damage_of_a_file_is_more_than_unrecognized(tmp_path, name):
    content = (STRANGERS / name).read_bytes()
    for length in range(0, len(content), 37):
        (tmp_path / "model").write_bytes(content[:length] + os.urandom(16) + content[length + 16 :])
        describe(tmp_path / "model")
        (tmp_path / "model").write_bytes(content[:length])
        describe(tmp_path / "model")


def test_a_file_that_unpacks_to_gigabytes_is_looked_at_no_further_than_its_head(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(64 << 20), 9))

    assert describe(tmp_path / "bomb.gz") == ""
