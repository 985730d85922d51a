"""A pickle runs code: in the converting child it reaches nothing, and what it returns is a stranger's."""

import contextlib
import pickle
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.converting import MODELS, converted, packed
from hotswap.errors import SwapCode, SwapError
from hotswap.packages.sklearn import conversion

pytestmark = pytest.mark.sklearn
FAKES = Path(__file__).parents[2] / "fakes"


class Running:
    """Pickles as a call of `exec`: what a stranger's file may be."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __reduce__(self) -> Any:
        return exec, (self._code,)


@contextlib.contextmanager
def listening() -> Iterator[tuple[int, list[int]]]:
    """Yield a port, and how many connections have arrived once the block has ended."""
    arrived: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1], arrived
        server.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.accept()[0].close()
                arrived.append(1)


ATTACKS = {
    "connects": "import socket; socket.create_connection(('127.0.0.1', {port}), 2).close()",
    "writes": "import pathlib; pathlib.Path('{folder}/written').write_text('x')",
    "reads": "import pathlib as p; p.Path('{folder}/written').write_text(p.Path('{folder}/secret').read_text())",
    "starts": "import subprocess; subprocess.run(['/bin/touch', '{folder}/written'], check=True)",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_code_of_a_pickle_reaches_nothing(tmp_path: Path, attack: str) -> None:
    (tmp_path / "secret").write_text("the key")
    (tmp_path / "scratch").mkdir()
    model = tmp_path / "evil.joblib"
    with listening() as (port, unconfined):
        model.write_bytes(pickle.dumps(Running(ATTACKS[attack].format(port=port, folder=tmp_path))))
        pickle.loads(model.read_bytes())
    assert unconfined or (tmp_path / "written").exists(), "it does nothing, even without a sandbox"
    (tmp_path / "written").unlink(missing_ok=True)
    with listening() as (port, confined):
        model.write_bytes(pickle.dumps(Running(ATTACKS[attack].format(port=port, folder=tmp_path))))
        with pytest.raises(SwapError, match="the model cannot be loaded: PermissionError") as raised:
            converted(tmp_path / "scratch", model, MODELS / "plain.csv")

    assert raised.value.code is SwapCode.MODEL_INVALID
    assert not confined
    assert not (tmp_path / "written").exists()


def test_a_pickle_that_ends_its_process_fails_the_conversion_alone(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Running("import os; os._exit(7)")))

    with pytest.raises(SwapError, match=r"the conversion failed: .*exit code 7"):
        converted(tmp_path, tmp_path / "evil.pkl", MODELS / "plain.csv")


def test_a_pickle_that_takes_all_memory_is_ended(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Running("x = bytearray(5 << 30)")))

    with pytest.raises(SwapError, match=r"out of memory|MemoryError"):
        converted(tmp_path, tmp_path / "evil.pkl", MODELS / "plain.csv")


FORGED = """
import json, os, socket, sys
from hotswap.host import frames
connection = socket.socket(fileno=int(sys.argv[2]))
same = {{"rows": 1, "differ": 0, "absolute": 0.0, "relative": 0.0, "example": ""}}
report = {{"sklearn": "1", "skl2onnx": "1", "numbers": "float", "sample": same, "thresholds": None, "left_out": [],
    "threshold_count": 0, "threshold_total": {total}}}
connection.sendall(frames.pack_facts(frames.Kind.READY, report))
connection.sendall(frames.pack_sealed(0, b"not ONNX"))
os._exit(0)
"""


def test_a_forged_file_is_refused_as_any_model_is(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Running(FORGED.format(total=0))))

    result = packed(tmp_path / "evil.pkl", MODELS / "plain.csv", tmp_path / "out")

    assert result.exit_code == 1, result.output
    assert "MODEL_INVALID: the model is no model but text" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_forged_report_fails_the_conversion(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(Running(FORGED.format(total="'many'"))))

    with pytest.raises(SwapError, match="its description of the conversion is malformed"):
        converted(tmp_path, tmp_path / "evil.pkl", MODELS / "plain.csv")


def test_without_a_sandbox_a_model_is_loaded_only_if_the_operator_trusts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_CHILD", str(FAKES / "unsandboxed_converter.py"))

    with pytest.raises(SwapError, match=r"this machine has no sandbox for that \(files .* or pass --trust-pickle"):
        converted(tmp_path, MODELS / "plain.pkl")

    _, notes = converted(tmp_path, MODELS / "plain.pkl", trusts_pickle=True)
    assert "labels are equal" in notes[0]


class Own:
    """A class that only this file has."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Own(), "it needs the module `test_sklearn_pickles`"),
        ({"model": 1}, "it holds dict, not an estimator of scikit-learn: save the estimator alone"),
    ],
)
def test_what_is_no_estimator_is_refused_with_what_to_do(tmp_path: Path, content: Any, words: str) -> None:
    (tmp_path / "odd.pkl").write_bytes(pickle.dumps(content))

    with pytest.raises(SwapError) as raised:
        converted(tmp_path, tmp_path / "odd.pkl", MODELS / "plain.csv")

    assert words in raised.value.message
