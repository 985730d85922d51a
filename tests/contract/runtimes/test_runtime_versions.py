"""What the answers of a generation were computed by: a host that has loaded it names the versions."""

import importlib
import re
from pathlib import Path

import pytest

from fakes.examples import COLD, IRIS
from hotswap.generation import Configuration, frozen
from hotswap.host.parent import ModelHost

MODELS = Path(__file__).parents[2] / "models"


async def versions_of(kind: str, model: str, configuration: Configuration) -> str:
    load = IRIS.load(kind=kind, model=MODELS / kind / model, configuration=configuration)
    host = ModelHost(load=load, deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=COLD)
    description = await host.start()
    await host.stop()
    return description.runtime


def expected(kind: str, more: str = "") -> str:
    return re.escape(f"{kind} {importlib.import_module(kind).__version__}{more}, Java ") + "[0-9.]+"


@pytest.mark.onnx
async def test_a_host_of_a_model_in_the_format_of_onnx_names_the_runtime_the_ir_and_the_opsets():
    named = await versions_of("onnx", "iris.onnx", Configuration(outputs=frozen({"species": "label"})))
    assert re.fullmatch(expected("onnxruntime", ", IR 10, opsets ai.onnx.ml 1, ai.onnx 22"), named)


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        pytest.param("xgboost", "iris.ubj", marks=pytest.mark.xgboost),
        pytest.param("lightgbm", "iris.txt", marks=pytest.mark.lightgbm),
    ],
)
async def test_a_host_names_the_version_of_the_package_that_scores(kind, model):
    classes = frozen({"classes": "setosa,versicolor,virginica"})
    configuration = Configuration(runtime=classes, outputs=frozen({"species": "predict"}))
    assert re.fullmatch(expected(kind), await versions_of(kind, model, configuration))
