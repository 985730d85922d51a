"""H2O's own EasyPredictModelWrapper as the judge of ours: what it answers to rows, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jpype

from hotswap.runtimes.kinds import runtime_of

_TESTS = Path(__file__).parents[1]
_MODEL = "hex.genmodel.easy.EasyPredictModelWrapper"


def easy_predict(model: Path, rows: Sequence[Mapping[str, str | float]]) -> list[dict[str, Any]]:
    """Return the public fields of its prediction for each row; of an exception, its message under `raised`."""
    asked = json.dumps([str(model), rows])
    done = subprocess.run(
        [sys.executable, "-m", "harness.easy"],
        input=asked,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (_TESTS, _TESTS.parent / "worker")))},
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def _main() -> None:
    path, rows = json.load(sys.stdin)
    jpype.startJVM("-Xmx256m", classpath=[str(jar) for jar in runtime_of("h2o").jars()], convertStrings=False)
    model = jpype.JClass("hex.genmodel.MojoModel").load(path)
    config = jpype.JClass(_MODEL).Config().setModel(model)
    config.setConvertUnknownCategoricalLevelsToNa(True).setConvertInvalidNumbersToNa(True)
    wrapper = jpype.JClass(_MODEL)(config)
    json.dump([_predict(wrapper, row) for row in rows], sys.stdout)


def _predict(wrapper: Any, row: Mapping[str, str | float]) -> dict[str, Any]:
    data = jpype.JClass("hex.genmodel.easy.RowData")()
    for name, value in row.items():
        data.put(name, value if isinstance(value, str) else jpype.JDouble(value))
    try:
        answer = wrapper.predict(data)
    except jpype.JException as error:
        return {"raised": str(error)}
    return {str(field.getName()): _plain(field.get(answer)) for field in answer.getClass().getFields()}


def _plain(value: Any) -> Any:
    """Return a Java value as JSON has it."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, jpype.JClass("java.util.Map")):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, jpype.JArray):
        return [_plain(each) for each in value]
    if isinstance(value, jpype.JClass("java.lang.Number")):
        return float(value.doubleValue())
    return str(value)


if __name__ == "__main__":
    _main()
