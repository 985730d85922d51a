"""The models of tests/models/python answer in a guest as their functions do when they are called directly."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from fakes.python_models import OURS, load_of, serving
from hotswap.artifacts.detect import find_kind
from hotswap.batch import Ask, Format, Refusal
from hotswap.codec.proto import compile as compile_proto
from models.python_answers import plain
from models.python_cases import difference

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only")

MODELS = Path(__file__).parents[2] / "models" / "python"
NEEDS = {"pipeline": "sklearn", "ensemble": "sklearn", "several": "sklearn", "vectors": "sklearn", "frame": "pandas"}
"""Models with packages that the tests' own environment may have; what needs others is in tests/system."""
ALONE = ("basket", "rates", "rule", "sentiment", "tokens")
TOLERANCE = 1e-9
SITE = next(path for path in sys.path if path.endswith("site-packages"))


@pytest.mark.parametrize("name", [*ALONE, *(pytest.param(name, marks=pytest.mark.sklearn) for name in NEEDS)])
async def test_a_model_answers_as_a_direct_call_does(name: str) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    folder = MODELS / name
    source = (folder / "model.proto").read_bytes()
    schema = compile_proto(source)
    rows = json.loads((folder / "rows.json").read_text())
    kind = find_kind(folder / "artifact")
    interpreter = replace(OURS, site=SITE) if name in NEEDS else OURS

    async with serving(load_of(folder / "artifact", source, kind=kind, interpreter=interpreter)) as host:
        found: dict[str, Any] = {}
        for rpc, operation in schema.operations.items():
            requests = [json_format.ParseDict(row, operation.input()).SerializeToString() for row in rows]
            texts = [json.dumps(row).encode() for row in rows]
            answers = await host.score(requests, [Ask(rpc)] * len(rows))
            assert not [answer for answer in answers if isinstance(answer, Refusal)]
            assert await host.score(texts, [Ask(rpc, Format.JSON, Format.PROTOBUF)] * len(rows)) == list(answers)
            found[rpc] = [plain(operation.output.FromString(answer)) for answer in answers]

    expected = json.loads((folder / "expected.json").read_text())
    assert difference(expected, found, TOLERANCE) is None
