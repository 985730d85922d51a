"""Fixtures for the tests of runtimes."""

import zipfile

import pytest

from fakes.jars import jar
from harness.spark_lab import MODELS, SparkLab


@pytest.fixture
def put(tmp_path):
    """Write a test jar, or any bytes, to a file as the store would: without a suffix."""

    def write(content, name="content"):
        path = tmp_path / name
        path.write_bytes(jar(content) if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Spark in a process of its own, which loads models one after the other."""
    made = SparkLab(tmp_path_factory.mktemp("lab") / "spark")
    yield made
    made.close()


@pytest.fixture
def unpacked(tmp_path):
    """Unpack a shipped Spark model to a folder, with the model one level down."""

    def unpack(name):
        folder = tmp_path / name
        with zipfile.ZipFile(MODELS / f"{name}.zip") as archive:
            archive.extractall(folder)
        return folder

    return unpack
