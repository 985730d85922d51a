"""Conversions of the tests' models of scikit-learn, in the environment that runs the tests."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hotswap.cli.main import main
from hotswap.generation import TextOptions
from hotswap.packages.sklearn.conversion import ConversionRequest, Converted, convert

MODELS = Path(__file__).parents[1] / "models" / "sklearn"


def converted(folder: Path, model: Path, sample: Path | None = None, **more: Any) -> Converted:
    """Convert a model; the sample is by default the one beside it. Raises what `convert` does."""
    request = ConversionRequest(
        model=model,
        sample=sample or MODELS / f"{model.stem}.csv",
        text=TextOptions(),
        cache=Path("/nonexistent"),
        **{"python": Path(sys.executable), **more},
    )
    return asyncio.run(convert(request, folder, print))


def packed(model: Path, sample: Path, out: Path) -> Any:
    """Return the result of `hotswap pack`."""
    words = ["pack", str(model), "--sample", str(sample), "--out", str(out), "--python", sys.executable]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOTSWAP_CACHE", str(out.with_name("cache")))
        patch.setenv("HOTSWAP_STORE", out.with_name("store").as_uri())
        return CliRunner().invoke(main, words)
