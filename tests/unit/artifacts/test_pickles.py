"""Which files are found to be Python pickles."""

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hotswap.artifacts.pickles import first_pickle

PICKLED = pickle.dumps({"a": [1.0, "b"]})


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


def array_of(values: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(values, object if isinstance(values, list) else None), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.bin", PICKLED),
        ("old.bin", pickle.dumps([1], protocol=0)),
        ("compressed.bin", gzip.compress(PICKLED)),
        ("model.pkl", b"anything"),
        ("model.JOBLIB", b"anything"),
        ("net.pt", zipped("net/data.pkl", PICKLED)),
        ("net.pt", zipped("net/weights", PICKLED)),
        ("both.zip", zipped("inner.zip", zipped("weights", PICKLED))),
        ("table.npy", array_of([{"a": 1}])),
        ("table.npz", zipped("a.npy", array_of([{"a": 1}]))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_is_found_by_its_name_or_its_beginning(tmp_path: Path, name: str, content: bytes) -> None:
    folder = tmp_path / "model" / "deep"
    folder.mkdir(parents=True)
    (folder.parent / "model.py").write_text("def predict(model, columns): ...")
    (folder / name).write_bytes(content)

    assert first_pickle(folder.parent).startswith(f"deep/{name}")


def test_data_and_code_are_none(tmp_path: Path) -> None:
    for name, content in {
        "model.py": b"import pickle\n",
        "table.npy": array_of(np.arange(3.0)),
        "table.csv": b"a,b\n1,2\n",
        "weights.safetensors": b"\x40\x00\x00\x00\x00\x00\x00\x00{}",
        "broken.zip": b"PK\x03\x04 and no more",
        "data.zip": zipped("table.csv", b"a\n1\n"),
        "words.txt": b"(das Wort)\n(ein zweites)\n",
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)

    assert first_pickle(tmp_path) == ""
