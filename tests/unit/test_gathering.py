"""What a worker gathers for a generation, and the kinds of model that it refuses before it fetches anything."""

from pathlib import Path
from typing import Any

import pytest

from hotswap.errors import StartError, SwapCode, SwapError
from hotswap.gathering import Gathering, Underway
from hotswap.generation import Generation, Model, Proto
from hotswap.settings import Settings


class Store:
    """Fetches nothing."""

    async def fetch(self, model: Model) -> Path:
        raise AssertionError(model)


async def unknown() -> None:
    return None


def gathering(tmp_path: Path, **settings: Any) -> Gathering:
    return Gathering(Settings(cache=tmp_path, **settings), Store(), unknown)  # type: ignore[arg-type]


def test_a_kind_that_there_is_not_stops_the_worker_at_its_start(tmp_path: Path) -> None:
    with pytest.raises(
        StartError, match=r"HOTSWAP_KINDS: there is no runtime `pyhton` in this version, but h2o, java,"
    ):
        gathering(tmp_path, kinds="h2o, pyhton")


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("python", "HOTSWAP_KINDS does not name python here"),
        ("java", "HOTSWAP_KINDS does not name java here"),
        ("pyhton", "there is no runtime `pyhton` in this version"),
    ],
)
async def test_a_generation_of_a_kind_that_is_not_named_fails_before_anything_is_fetched(
    tmp_path: Path, kind: str, why: str
) -> None:
    generation = Generation(1, Model("file:///m.zip", "a" * 64, kind), Proto.inline(""))

    with pytest.raises(SwapError, match=why) as refused:
        await gathering(tmp_path, kinds="h2o").gather(generation, Underway(1.0, lambda: ""), [])

    assert refused.value.code is SwapCode.KIND_MISSING


def test_python_is_not_among_the_defaults(tmp_path: Path) -> None:
    allowed = Settings(cache=tmp_path).kinds_allowed
    assert {"python", "python-pickle"}.isdisjoint(allowed)
    assert {"h2o", "java", "spark", "spark-jar", "onnx", "xgboost", "lightgbm"} == allowed
