"""A kind whose Python package is not installed says which extra has it."""

import importlib.util

import pytest

from hotswap.runtimes.kinds import runtime_of


@pytest.mark.parametrize("kind", ["lightgbm", "onnx", "spark", "xgboost"])
def test_a_missing_package_is_named_with_its_extra(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert f"install hotswap[{kind}] on every worker" in runtime_of(kind).lack
