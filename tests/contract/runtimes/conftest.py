"""Fixtures for the tests of runtimes."""

import pytest

from fakes.jars import jar


@pytest.fixture
def put(tmp_path):
    """Write a test jar, or any bytes, to a file as the store would: without a suffix."""

    def write(content, name="content"):
        path = tmp_path / name
        path.write_bytes(jar(content) if isinstance(content, str) else content)
        return path

    return write
