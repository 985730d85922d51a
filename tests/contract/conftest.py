"""A Java of a module's own for what its tests load, where a host's start and its end are not what they are about."""

import pytest

from harness.lab import Lab


@pytest.fixture(scope="module")
def h2o(tmp_path_factory):
    with Lab.of(tmp_path_factory.mktemp("lab") / "h2o", "h2o") as lab:
        yield lab


@pytest.fixture(scope="module")
def java(tmp_path_factory):
    with Lab.of(tmp_path_factory.mktemp("lab") / "java", "java") as lab:
        yield lab
