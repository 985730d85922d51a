"""A child's report about itself is validated and cleaned completely before it is used."""

import json
import subprocess
import sys

import pytest

from hotswap.host import facts
from hotswap.host.frames import Frame, FrameError, Kind

READY = {
    "operations": ["score"],
    "inputs": {"score": "Rows"},
    "outputs": {"score": "Scores"},
    "columns": "x: number",
    "paths": {"score": "flat"},
    "phase_seconds": {"load": 1, "warm": 0.5},
}


def read(told):
    return facts.read_ready(Frame(Kind.READY, 0, json.dumps(told).encode()), 2.0)


def test_well_formed_facts_are_read():
    ready = read(READY)
    assert (ready.operations, ready.paths) == (("score",), {"score": "flat"})
    assert ready.phase_seconds == {"start": 0.5, "load": 1, "warm": 0.5}


def test_a_text_of_any_length_is_truncated():
    assert len(read(READY | {"paths": {"score": "x" * 50_000}}).paths["score"]) == 4_000


@pytest.mark.parametrize(
    "told",
    [
        {},
        *({name: value for name, value in READY.items() if name != left_out} for left_out in READY),
        READY | {"operations": "score"},
        READY | {"operations": [1]},
        READY | {"inputs": {"score": 1}},
        READY | {"columns": None},
        READY | {"columns": "\ud800"},
        READY | {"paths": {"score": ["flat"]}},
        READY | {"reads": {"score": "x"}},
        READY | {"reads": {"score": ["x"]}},
        READY | {"reads": {"score": {"x": "red"}}},
        READY | {"reads": {"score": {"x": [1]}}},
        READY | {"phase_seconds": {"load": "1", "warm": 0}},
        READY | {"phase_seconds": {"load": float("nan"), "warm": 0}},
        READY | {"phase_seconds": {"load": float("inf"), "warm": 0}},
        READY | {"phase_seconds": {"load": 10**400, "warm": 0}},
        READY | {"phase_seconds": {"load": True, "warm": 0}},
    ],
    ids=lambda told: str(told)[:60],
)
def test_malformed_facts_are_rejected(told):
    with pytest.raises(FrameError, match="its description of itself is malformed"):
        read(told)


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"null"])
def test_a_payload_that_is_not_a_json_object_is_rejected(payload):
    with pytest.raises(FrameError, match=r"a frame(| is|'s JSON is) not (valid JSON|an object)"):
        facts.read_ready(Frame(Kind.READY, 0, payload), 2.0)


def test_the_child_does_not_import_pydantic():
    script = "import sys, hotswap.host.child; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
