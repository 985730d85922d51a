"""Recognizes models of other libraries and files that are no model, with advice for each.

By content alone (look.py): magic numbers, the names in a zip or a folder, the first 64 KiB. Nothing is unpickled. The
first row of the table that fits counts, so the specific ones come first.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from hotswap.artifacts.look import Look, look_at
from hotswap.errors import SwapError

_SHOWN: Final = 4
_FIRST: Final = 100  # bytes of a pickle, which name the class of what it holds

_TRAIN: Final = "train the model with H2O or Spark, and pass the MOJO or the saved pipeline"
_NONE: Final = f"no kind serves it: {_TRAIN}, or pass a jar that scores it (kind java)"
_MOJO: Final = "export its MOJO: model.download_mojo(path)"
_SAVE_BOOSTER: Final = 'load it with the XGBoost that wrote it, and pass what model.save_model("model.ubj") writes'
_SAVE_TEXT: Final = 'save its booster as text, and pass that as kind lightgbm: model.booster_.save_model("model.txt")'
_SKLEARN: Final = "no kind serves it: `hotswap pack FILE --sample data.csv` converts a model of scikit-learn to ONNX"
_PYTHON_FUNCTION: Final = "kind python serves one with MLmodel at its top and the flavor python_function in it"
_DATA: Final = "pass a MOJO, a saved Spark pipeline or a jar"

_LIBRARIES: Final = {
    "scikit-learn": b"sklearn",
    "XGBoost": b"xgboost",
    "LightGBM": b"lightgbm",
    "CatBoost": b"catboost",
    "PyTorch": b"torch",
    "Keras": b"keras",
    "TensorFlow": b"tensorflow",
    "statsmodels": b"statsmodels",
}
_CORE_ML_FIELD: Final = 200  # of its message, the first that stands for a type of model
_OLD_PICKLE: Final = re.compile(rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n|\((?:[dl]p0\n|[dl]q\x00)")
_OLD_BOOSTER: Final = re.compile(
    rb"\x00(?:binary|count|multi|rank|reg|survival):[a-z:_]+.{8}(?:gbtree|gblinear|dart)", re.DOTALL
)
_H2O_BINARY: Final = re.compile(rb"\x1c\xed[\x02-\x20](\d+(?:\.\d+)+)")
_TOO_DEEP: Final = re.compile(r"((?:[^/]+/)+)metadata/part-[^/]+")


class _Foreign(NamedTuple):
    """A kind of file: its name, test and advice; `{}` in them is replaced by `detail`."""

    name: str
    fits: Callable[[Look], bool]
    advice: str
    detail: Callable[[Look], str] = lambda _: ""


def describe(path: Path) -> str:
    """Describe a file or folder that is no model, with advice, as the predicate of a sentence.

    Empty if it is not recognized, or cannot be read.
    """
    try:
        look = look_at(path)
        kind = next((each for each in _TABLE if each.fits(look)), None)
    except (OSError, SwapError):
        return ""
    if kind is None:
        return ""
    detail = kind.detail(look)
    return f"is {kind.name.format(detail)}: {kind.advice.format(detail)}"


def is_lightgbm(path: Path) -> bool:
    """Return whether a file is the text of a LightGBM model."""
    return _looks(path, _is_lightgbm)


def is_sklearn(path: Path) -> bool:
    """Return whether a file is a pickle or skops' file that may hold a model of scikit-learn."""
    try:
        look = look_at(path)
        kind = next((each for each in _TABLE if each.fits(look)), None)
    except (OSError, SwapError):
        return False
    return kind is not None and kind.advice == _SKLEARN


def is_onnx(path: Path) -> bool:
    """Return whether a file is a model in the format of ONNX."""
    return _looks(path, _is_onnx)


def is_booster(path: Path) -> bool:
    """Return whether a file is a model of XGBoost, JSON or UBJSON."""
    return _looks(path, _is_booster)


def _looks(path: Path, fits: Callable[[Look], bool]) -> bool:
    try:
        return path.is_file() and fits(look_at(path))
    except (OSError, SwapError):
        return False


# ---- what tells


def _is_pickle(look: Look) -> bool:
    head = look.head
    return (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or bool(_OLD_PICKLE.match(head))


def _library(look: Look) -> str:
    return next((f" of {name}" for name, sign in _LIBRARIES.items() if sign in look.head), "")


def _may_be_sklearn(look: Look) -> bool:
    return _library(look) in ("", " of scikit-learn")


def _is_joblib(look: Look) -> bool:
    return _is_pickle(look) and (b"joblib" in look.head or bool(look.packing))


def _is_torch_zip(look: Look) -> bool:
    return look.has("data.pkl") and (look.has("version") or look.has(".data/version"))


def _is_lightgbm(look: Look) -> bool:
    return not look.packing and look.begins(b"tree\n", b"tree\r\n")


def _is_onnx(look: Look) -> bool:
    # Its graph and its operators' versions.
    return bool(look.fields & {7, 8}) and max(look.fields) < _CORE_ML_FIELD


def _is_booster(look: Look) -> bool:
    return not look.packing and look.begins(b"{") and b"learner" in look.head[:64]


def _is_core_ml(look: Look) -> bool:
    is_package = look.has("Manifest.json") and any("com.apple.CoreML/" in name for name in look.names)
    return is_package or max(look.fields, default=0) >= _CORE_ML_FIELD


def _flavors(look: Look) -> str:
    from hotswap.artifacts.mlflow import read_flavors  # noqa: PLC0415 - for these alone

    try:
        flavors = [name for name in read_flavors(look.path) if name.isidentifier()]
    except (OSError, ValueError):
        return ""
    return f" (flavors {', '.join(flavors[:_SHOWN])})" if flavors else ""


def _is_h2o_flavor(look: Look) -> bool:
    return look.has("MLmodel") and " h2o" in _flavors(look)


def _inner_mojo(look: Look) -> str:
    return next((name.removesuffix("model.ini") for name in look.names if name.endswith("/model.ini")), "")


def _inner_pipeline(look: Look) -> str:
    return next((match[1] for name in look.names if (match := _TOO_DEEP.fullmatch(name))), "")


def _inner_zips(look: Look) -> str:
    inner = [name for name in look.names if name.endswith((".zip", ".jar", ".mojo"))]
    return ", ".join(inner[:_SHOWN]) + (", …" if len(inner) > _SHOWN else "")


def _version(look: Look) -> str:
    match = _H2O_BINARY.match(look.head)
    return match[1].decode() if match else ""


_TABLE: Final[tuple[_Foreign, ...]] = (
    _Foreign("an empty file", lambda look: look.path.is_file() and not look.raw, "write it again"),
    _Foreign("an empty folder", lambda look: look.path.is_dir() and not look.names, _DATA),
    _Foreign(
        "a pointer of Git LFS, not the file itself",
        lambda look: look.begins(b"version https://git-lfs.github.com/"),
        "fetch the file with `git lfs pull`",
    ),
    # H2O's
    _Foreign(
        "H2O's binary model of version {}",
        lambda look: bool(_version(look)),
        f"load it in an H2O of that version (h2o.load_model), and {_MOJO}",
        _version,
    ),
    _Foreign(
        "the Java source of an H2O model (a POJO)",
        lambda look: b"extends GenModel" in look.head and b"hex.genmodel" in look.head,
        _MOJO,
    ),
    _Foreign(
        "an MLflow folder of an H2O model{}",
        _is_h2o_flavor,
        f"load it with mlflow.h2o.load_model, and {_MOJO}",
        _flavors,
    ),
    _Foreign(
        "a MOJO pipeline of Driverless AI",
        lambda look: look.has("pipeline.pb") or any("mojo-pipeline/" in name for name in look.names),
        f"it is no MOJO of H2O-3, and needs a runtime of its own with a licence; {_NONE}",
    ),
    _Foreign(
        "a MOJO with a folder {} around it",
        lambda look: bool(_inner_mojo(look)),
        "pass what is in {} (the folder, or a zip with model.ini at its top)",
        _inner_mojo,
    ),
    # Python's
    _Foreign("an MLflow folder{}", lambda look: look.has("MLmodel"), _PYTHON_FUNCTION, _flavors),
    _Foreign("a TorchScript model of PyTorch", lambda look: _is_torch_zip(look) and look.has("constants.pkl"), _NONE),
    _Foreign(
        "a model or weights of PyTorch",
        lambda look: _is_torch_zip(look) or look.begins(b"\x80\x02\x8a\x0al\xfc\x9cF\xf9"),
        _NONE,
    ),
    _Foreign(
        "a model of scikit-learn, saved by skops",
        lambda look: look.has("schema.json") and look.raw[:2] == b"PK",
        _SKLEARN,
    ),
    _Foreign(  # before XGBoost's: its parameters name `xgboost_dart_mode`
        "a Python pickle of LightGBM", lambda look: _is_pickle(look) and b"lightgbm." in look.head[:_FIRST], _SAVE_TEXT
    ),
    _Foreign(
        "a Python pickle or joblib file{}",
        lambda look: _is_pickle(look) and b"xgboost" in look.head,
        _SAVE_BOOSTER,
        _library,
    ),
    _Foreign("a joblib file{}", lambda look: _is_joblib(look) and _may_be_sklearn(look), _SKLEARN, _library),
    _Foreign("a joblib file{}", _is_joblib, _NONE, _library),
    _Foreign("a Python pickle{}", lambda look: _is_pickle(look) and _may_be_sklearn(look), _SKLEARN, _library),
    _Foreign("a Python pickle{}", _is_pickle, _NONE, _library),
    # other libraries'
    _Foreign("a model of XGBoost", _is_booster, "pass it as kind xgboost"),
    _Foreign(
        "a model of XGBoost, in its old binary format",
        lambda look: look.begins(b"binf") or bool(_OLD_BOOSTER.search(look.head[:1_024])),
        f"XGBoost 3.1 and newer cannot read it: {_SAVE_BOOSTER}",
    ),
    _Foreign(
        "a dump of XGBoost's trees",
        lambda look: look.begins(b"booster[0]:"),
        'no library loads it: pass what model.save_model("model.ubj") writes',
    ),
    _Foreign("a model of LightGBM", _is_lightgbm, "pass it as kind lightgbm"),
    _Foreign("a dump of LightGBM's trees", lambda look: look.begins(b'{"name":"tree"', b'{"name": "tree"'), _SAVE_TEXT),
    _Foreign("a model of CatBoost", lambda look: look.begins(b"CBM1"), _NONE),
    _Foreign(
        "a PMML document",
        lambda look: b"<PMML" in look.head,
        f"no kind serves it: {_TRAIN}, or pass a jar that scores it with JPMML (kind java)",
    ),
    _Foreign("a CoreML model", _is_core_ml, _NONE),
    _Foreign("an ONNX model", _is_onnx, "pass it as kind onnx"),
    _Foreign("a SavedModel of TensorFlow", lambda look: look.has("saved_model.pb"), _NONE),
    _Foreign("a TensorFlow Lite model", lambda look: look.raw[4:8] == b"TFL3", _NONE),
    _Foreign("a model of Keras", lambda look: look.has("config.json", "model.weights.h5"), _NONE),
    _Foreign("an HDF5 file, as Keras writes", lambda look: look.begins(b"\x89HDF\r\n\x1a\n"), _NONE),
    _Foreign("an OpenVINO model", lambda look: look.begins(b"<?xml", b"<net") and b"<net " in look.head[:512], _NONE),
    _Foreign(
        "an MLeap bundle", lambda look: look.has("bundle.json"), f"no kind serves it: {_TRAIN} (PipelineModel.save)"
    ),
    _Foreign(
        "a model of Hugging Face",
        lambda look: look.has("config.json") and (look.has("model.safetensors") or look.has("pytorch_model.bin")),
        _NONE,
    ),
    _Foreign(
        "a safetensors file, which holds weights alone",
        lambda look: look.raw[8:10] == b'{"' and look.raw[4:8] == bytes(4),
        _NONE,
    ),
    _Foreign("a GGUF file, which holds weights alone", lambda look: look.begins(b"GGUF"), _NONE),
    _Foreign(
        "an R object",
        lambda look: look.begins(b"RDX", b"RDA", b"X\n\x00\x00\x00", b"A\n2\n", b"A\n3\n"),
        f"no kind serves it: if it is of H2O's package for R, export its MOJO (h2o.download_mojo), otherwise {_TRAIN}",
    ),
    # wrapped, or no model
    _Foreign(
        "a Spark pipeline in its folder {}",
        lambda look: bool(_inner_pipeline(look)),
        "pass that folder",
        _inner_pipeline,
    ),
    _Foreign(
        "an archive with others in it ({})",
        lambda look: bool(_inner_zips(look)),
        "unpack it, and pass the one that is the model",
        _inner_zips,
    ),
    _Foreign("a tar archive", lambda look: look.head[257:262] == b"ustar", "unpack it, and pass the model in it"),
    _Foreign(
        "a Java class, or a folder of them",
        lambda look: (
            look.begins(b"\xca\xfe\xba\xbe")
            or (bool(look.names) and all(name.endswith(".class") for name in look.names))
        ),
        "pack all of its classes into a jar: jar --create --file model.jar -C FOLDER .",
    ),
    _Foreign(
        "no model but NumPy's arrays",
        lambda look: (
            look.begins(b"\x93NUMPY") or (bool(look.names) and all(name.endswith(".npy") for name in look.names))
        ),
        _DATA,
    ),
    _Foreign("no model but a Parquet file", lambda look: look.begins(b"PAR1"), _DATA),
    _Foreign(
        "a web page, perhaps an error of the download",
        lambda look: look.head[:256].lstrip().lower().startswith((b"<!doctype html", b"<html")),
        "download the model again",
    ),
    _Foreign("no model but text", lambda look: not look.names and look.is_text, _DATA),
)
