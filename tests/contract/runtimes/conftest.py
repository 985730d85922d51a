"""Fixtures for the tests of runtimes."""

import zipfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.jars import jar
from harness.spark_lab import MODELS, SparkLab
from hotswap.generation import Configuration
from hotswap.packages.onboarding import Wish, onboard
from hotswap.settings import Settings


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a test jar, or any bytes, to a file as the store would: without a suffix."""

    def write(content: str | bytes, name: str = "content") -> Path:
        path = tmp_path / name
        path.write_bytes(jar(content) if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkLab]:
    """Spark in a process of its own, which loads models one after the other."""
    made = SparkLab(tmp_path_factory.mktemp("lab") / "spark")
    yield made
    made.close()


@pytest.fixture
def unpacked(tmp_path: Path) -> Callable[[str], Path]:
    """Unpack a shipped Spark model to a folder, with the model one level down."""

    def unpack(name: str) -> Path:
        folder = tmp_path / name
        with zipfile.ZipFile(MODELS / f"{name}.zip") as archive:
            archive.extractall(folder)
        return folder

    return unpack


@pytest.fixture
def pack(lab: SparkLab, tmp_path: Path, pack_in: Callable[[SparkLab], None]) -> Callable[..., Awaitable[Any]]:
    """Prepare a package with the lab's Spark; return its content and notes."""
    pack_in(lab)

    async def packed(model: Path, sample: str = "", **configuration: Any) -> Any:
        (tmp_path / "sample.csv").write_text(sample)
        settings = Settings(cache=tmp_path / "cache", store=(tmp_path / "store").as_uri())
        given = Configuration(**configuration)
        path = tmp_path / "sample.csv" if sample else None
        return await onboard(settings, Wish(model=model, name="m", sample=path, configuration=given))

    return packed
