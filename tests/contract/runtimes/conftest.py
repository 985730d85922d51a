"""What the tests of runtimes share."""

import pytest

from fakes.jars import jar


@pytest.fixture
def put(tmp_path):
    """Write a jar of the tests, or any bytes, to a file as the store would give it: without an ending."""

    def write(content, name="content"):
        path = tmp_path / name
        path.write_bytes(jar(content) if isinstance(content, str) else content)
        return path

    return write
