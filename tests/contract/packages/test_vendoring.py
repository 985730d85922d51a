"""`hotswap pack --vendor` puts a lock's wheels beside the model, which then loads without an index."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.python_index import Index, serving, wheel
from fakes.python_models import written
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration
from hotswap.packages.onboarding import Wish, onboard
from hotswap.packages.packing import write_package
from hotswap.packages.vendoring import vendor
from hotswap.settings import Settings

SOURCE = """
    from typing import TypedDict
    import alpha
    Row = TypedDict("Row", {"x": float})
    Answer = TypedDict("Answer", {"by": str})
    def predict(model, columns: Row) -> Answer:
        return {"by": [alpha.VERSION for _ in columns["x"]]}
"""


@pytest.fixture
def index() -> Iterator[Index]:
    with serving() as made:
        yield made


async def test_a_vendored_model_has_its_wheels_and_is_checked_with_them_alone(index: Index, tmp_path: Path) -> None:
    lock = index.add("alpha", wheel("alpha"))
    model = written(tmp_path / "m", SOURCE, {"requirements.txt": lock.encode()})
    (tmp_path / "scratch").mkdir()
    settings = Settings(cache=tmp_path / "cache", python_index=index.url)

    copy = vendor(settings, model, tmp_path / "scratch")
    index.asked.clear()
    onboarded = await onboard(settings, Wish(model=copy))
    *_, dump = write_package(onboarded.content, tmp_path / "packed")

    assert index.asked == []
    assert not (model / "wheels").exists()
    with (
        zipfile.ZipFile(dump) as outer,
        outer.open("modelpackage.zip") as file,
        zipfile.ZipFile(file) as package,
        package.open("m.zip") as inner,
        zipfile.ZipFile(inner) as folder,
    ):
        assert set(folder.namelist()) == {"model.py", "requirements.txt", "wheels/alpha-1.0-py3-none-any.whl"}
    assert onboarded.content.configuration == Configuration()


def test_wheels_that_cannot_be_downloaded_are_named_without_the_index(index: Index, tmp_path: Path) -> None:
    index.add("alpha", wheel("alpha"))
    other = index.add("beta", wheel("beta")).replace("beta", "alpha")
    model = written(tmp_path / "m", SOURCE, {"requirements.txt": other.encode()})
    (tmp_path / "scratch").mkdir()

    with pytest.raises(UsageError) as refused:
        vendor(Settings(cache=tmp_path, python_index=index.url), model, tmp_path / "scratch")

    assert "cannot be downloaded (pip: " in str(refused.value)
    assert "alpha" in str(refused.value)
    assert str(index.server_port) not in str(refused.value)


def test_a_model_without_a_lock_or_with_a_bad_one_is_not_vendored(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    settings = Settings(cache=tmp_path)
    plain = written(tmp_path / "plain", SOURCE)
    bad = written(tmp_path / "bad", SOURCE, {"requirements.txt": b"alpha==1.0\n"})

    with pytest.raises(UsageError, match=r"has no requirements\.txt"):
        vendor(settings, plain, tmp_path / "scratch")
    with pytest.raises(SwapError, match="--hash"):
        vendor(settings, bad, tmp_path / "scratch")
