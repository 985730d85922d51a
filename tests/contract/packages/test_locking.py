"""`hotswap pack --lock` locks what a model's requirements.txt asks for, as MLflow writes it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.python_index import Index, serving, wheel
from fakes.python_models import OWN, written
from hotswap.environments.lock import read_lock
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.packages.locking import lock
from hotswap.packages.onboarding import Wish, onboard
from hotswap.settings import Settings

SOURCE = """
    from typing import TypedDict
    import alpha
    Row = TypedDict("Row", {"x": float})
    Answer = TypedDict("Answer", {"by": str})
    def predict(model, columns: Row) -> Answer:
        return {"by": [alpha.VERSION for _ in columns["x"]]}
"""
MLMODEL = """
flavors:
  python_function:
    loader_module: {loader}
    python_version: {python}
"""


@pytest.fixture
def index() -> Iterator[Index]:
    with serving() as made:
        for name in ("alpha", "mlflow-skinny", "numpy", "pandas", "xgboost-cpu"):
            made.add(name, wheel(name.replace("-", "_")), f"{name.replace('-', '_')}-1.0-py3-none-any.whl")
        yield made


def settings_of(index: Index, tmp_path: Path) -> Settings:
    (tmp_path / "scratch").mkdir()
    return Settings(cache=tmp_path / "cache", python_index=index.url)


async def test_a_model_whose_requirements_have_no_hashes_is_locked_in_a_copy_and_packed(
    index: Index, tmp_path: Path
) -> None:
    model = written(tmp_path / "m", SOURCE, {"requirements.txt": b"alpha>=1  # any\n"})
    settings = settings_of(index, tmp_path)

    copy = lock(settings, model, tmp_path / "scratch")
    onboarded = await onboard(settings, Wish(model=copy))

    assert not (model / "requirements.lock").exists()
    assert read_lock(copy).text.startswith("alpha==1.0 --hash=sha256:")
    assert "string by = 1;" in (onboarded.content.proto.source or b"").decode()


@pytest.mark.parametrize(
    ("loader", "asked", "locked"),
    [
        ("mlflow.sklearn", "mlflow==1.0\nalpha==1.0", ["alpha"]),
        ("mlflow.pyfunc.loaders.code_model", "mlflow==1.0\nalpha", ["alpha"]),
        ("mlflow.pyfunc.model", "mlflow==1.0\nalpha==1.0", ["alpha", "mlflow-skinny", "numpy", "pandas"]),
        ("mlflow.xgboost", "mlflow==1.0\nxgboost==1.0\nxgboost-cpu==1.0", ["xgboost-cpu"]),
    ],
)
def test_of_mlflow_a_lock_has_what_the_model_cannot_be_loaded_without(
    index: Index, tmp_path: Path, loader: str, asked: str, locked: list[str]
) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "MLmodel").write_text(MLMODEL.format(loader=loader, python=f"{OWN}.0"))
    (folder / "requirements.txt").write_text(asked)

    copy = lock(settings_of(index, tmp_path), folder, tmp_path / "scratch")

    assert [line.partition("==")[0] for line in read_lock(copy).requirements] == locked
    assert (copy / ".python-version").read_text() == f"{OWN}.0\n"


def test_the_python_that_made_an_mlflow_folder_must_be_here(index: Index, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "MLmodel").write_text(MLMODEL.format(loader="mlflow.sklearn", python="3.7.1"))
    (folder / "requirements.txt").write_text("alpha==1.0")

    with pytest.raises(SwapError, match=r"needs Python 3\.7") as refused:
        lock(settings_of(index, tmp_path), folder, tmp_path / "scratch")

    assert refused.value.code is SwapCode.ENVIRONMENT_INVALID


@pytest.mark.parametrize("line", ["-e .", "alpha @ https://example.org/alpha.whl", "./alpha.whl", "-r more.txt"])
def test_what_is_no_package_of_an_index_is_not_locked(index: Index, tmp_path: Path, line: str) -> None:
    model = written(tmp_path / "m", SOURCE, {"requirements.txt": f"alpha\n{line}\n".encode()})

    with pytest.raises(UsageError, match=r"line 2 of requirements\.txt .* is no package of an index"):
        lock(settings_of(index, tmp_path), model, tmp_path / "scratch")

    assert index.asked == []


def test_a_package_that_the_index_lacks_is_named_without_the_index(index: Index, tmp_path: Path) -> None:
    model = written(tmp_path / "m", SOURCE, {"requirements.txt": b"omega==2.0\n"})

    with pytest.raises(UsageError, match=r"cannot be locked \(uv: .*omega") as refused:
        lock(settings_of(index, tmp_path), model, tmp_path / "scratch")

    assert str(index.server_port) not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "has none"),
        (
            {"requirements.txt": b"alpha", "MLmodel": b"flavors: ["},
            "MLmodel that cannot be read: it is not YAML",
        ),
        ({"requirements.txt": b"#" * ((1 << 20) + 1)}, r"requirements\.txt is larger than 1,048,576 bytes"),
        ({"requirements.txt": b"\xff"}, "is not UTF-8"),
    ],
    ids=["none", "malformed MLmodel", "too large", "no text"],
)
def test_what_cannot_be_locked_is_named(index: Index, tmp_path: Path, files: dict[str, bytes], why: str) -> None:
    model = written(tmp_path / "m", SOURCE, files)

    with pytest.raises((UsageError, SwapError), match=why):
        lock(settings_of(index, tmp_path), model, tmp_path / "scratch")

    assert index.asked == []


def test_a_zip_is_not_locked(index: Index, tmp_path: Path) -> None:
    (tmp_path / "m.zip").write_bytes(b"PK")

    with pytest.raises(UsageError, match="is none: unpack it"):
        lock(settings_of(index, tmp_path), tmp_path / "m.zip", tmp_path / "scratch")
