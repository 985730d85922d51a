"""Every runtime rejects unknown options, without a JVM and before it looks at the model."""

from pathlib import Path

import pytest

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration
from hotswap.runtimes.kinds import kinds, runtime_of

IMPOSSIBLE = {
    "h2o": {"contributions": "yes"},
    "java": {"input": "xml"},
    "lightgbm": {"iterations": "10"},
    "onnx": {"threads": "0"},
    "spark": {"fallback": "yes"},
    "xgboost": {"contributions": "yes"},
}
IMPOSSIBLE["python"] = IMPOSSIBLE["python-pickle"] = {"threads": "0"}  # it has no options
IMPOSSIBLE["spark-jar"] = IMPOSSIBLE["java"]


def code_of(kind, options):
    guest = (None, "") if runtime_of(kind).has_guest else ()
    with pytest.raises(SwapError) as refused:
        runtime_of(kind).load(Path("nowhere"), Configuration(runtime=options), *guest)
    return refused.value.code


@pytest.mark.parametrize("kind", kinds())
def test_an_unknown_option_is_an_invalid_configuration_for_every_runtime(kind):
    assert code_of(kind, {"no such option": "x"}) is SwapCode.CONFIGURATION_INVALID


@pytest.mark.parametrize("kind", kinds())
def test_an_impossible_value_of_an_option_is_an_invalid_configuration_for_every_runtime(kind):
    assert code_of(kind, IMPOSSIBLE[kind]) is SwapCode.CONFIGURATION_INVALID
