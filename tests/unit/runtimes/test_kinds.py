"""A kind whose Python package is not installed says which extra has it."""

import importlib.util

import pytest

from hotswap.errors import StartError
from hotswap.runtimes.kinds import runtime_of


@pytest.mark.parametrize("kind", ["onnx", "xgboost"])
def test_a_missing_package_is_a_start_error_that_names_the_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(StartError, match=rf"install hotswap\[{kind}\] on every worker"):
        runtime_of(kind).jars()
