"""What is known of a file of scikit-learn before it is loaded."""

import bz2
import gzip
import lzma
import pickle
import zlib
from pathlib import Path

import pytest

from hotswap.artifacts.detect import UnknownKind, find_kind
from hotswap.artifacts.foreign import is_sklearn
from hotswap.errors import UsageError
from hotswap.packages.sklearn.environment import LOCKS, python_for, versions
from hotswap.packages.sklearn.wrote import find_version

MODELS = Path(__file__).parents[2] / "models" / "sklearn"
FILES = sorted(path for path in MODELS.iterdir() if path.suffix in (".joblib", ".pkl", ".skops"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_of_scikit_learn_is_recognized_with_its_version(path: Path) -> None:
    assert is_sklearn(path)
    assert find_version(path).startswith("1.9.")
    with pytest.raises(UnknownKind, match=r"`hotswap pack FILE --sample data\.csv` converts a model of scikit-learn"):
        find_kind(path)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress])
@pytest.mark.parametrize("protocol", range(6))
def test_the_version_is_found_however_a_pickle_is_packed(tmp_path: Path, protocol: int, pack: object) -> None:
    assert callable(pack)
    state = {"filler": bytes(3 << 20), "weight": 1.5, "_sklearn_version": "1.7.2"}
    (tmp_path / "m.pkl").write_bytes(pack(pickle.dumps(state, protocol)))

    assert find_version(tmp_path / "m.pkl") == "1.7.2"


@pytest.mark.parametrize(
    "content", [b"", b"\x1f\x8bx", b"\x78\x9cx", b"PK\x05\x06" + bytes(18), pickle.dumps({"a": 1})]
)
def test_no_version_is_found_in_what_has_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.pkl").write_bytes(content)

    assert find_version(tmp_path / "m.pkl") == ""


def test_each_lock_has_hashes_and_its_version() -> None:
    assert versions() == ["1.5", "1.6", "1.7", "1.8", "1.9"]
    for version in versions():
        text = (LOCKS / f"{version}.lock").read_text()
        assert f"scikit-learn=={version}." in text
        assert text.count("==") <= text.count("--hash=sha256:")


async def test_a_version_without_an_environment_is_refused_naming_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"scikit-learn 0\.24\.2 wrote the model; there are environments for 1\.5, .*1\.9"
    ):
        await python_for("0.24.2", tmp_path, print)

    assert list(tmp_path.iterdir()) == []
