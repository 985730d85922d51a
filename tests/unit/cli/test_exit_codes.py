"""Each line of the table of exit codes in docs/using.md."""

import re
import shutil
from pathlib import Path

import pytest

from fakes.answering import answer_requests
from fakes.command_line import hotswap
from fakes.kafka_logs import FakeWorker
from hotswap.client.doctor import KAFKA
from hotswap.client.findings import Finding, Level
from hotswap.errors import Denied, StartError
from hotswap.v1 import control_pb2 as wire

PAGE = (Path(__file__).parents[3] / "docs" / "using.md").read_text(encoding="utf-8")
LINES = [(int(code), example) for code, example in re.findall(r"^\| (\d) \| [^|]* \| ([^|]*) \|$", PAGE, re.MULTILINE)]
ELSEWHERE = "`hotswap run d` and `hotswap dev d`, stopped by SIGTERM or Ctrl-C"
"""tests/system/test_signals.py and test_documents.py stop real ones."""

SWAP = ("swap", "d", "--model", "model.zip", "--proto", "frame.proto")


class World:
    """A deployment with one worker that serves, and what becomes of it in the examples."""

    def __init__(self, cluster, settings, files, monkeypatch):
        self._cluster, self._settings, self._files, self._patch = cluster, settings, files, monkeypatch
        self._worker = FakeWorker(cluster, settings)
        answer_requests(cluster, settings)
        hotswap(*SWAP)
        self._worker.speak(generation=1)

    def is_well(self):
        pass

    def fails(self):
        self._worker.outcomes, self._worker.code = ("FAILED",), "MODEL_INVALID"

    def is_unserved(self):
        self._worker.speak(generation=0)
        self._cluster.append(self._settings.topics.requests, b"")

    def is_silent(self):
        self._patch.setattr("hotswap.client.following.SILENCE_S", 0.0)
        self._cluster.on_append.clear()
        self._worker.speak(stopped=True)

    def is_unreachable(self):
        self._patch.setattr("fakes.kafka_logs.FakeAdmin.lags", _unreachable)

    def lacks_a_right(self):
        self._patch.setattr("fakes.kafka_logs.FakeAdmin.lags", _denied)

    def is_faulty(self):
        self._patch.setattr("hotswap.cli.doctor.examine", _faulty)

    def is_unreachable_for_the_doctor(self):
        self._patch.setattr("hotswap.cli.doctor.examine", _without_kafka)

    def has_lost_its_store(self):
        shutil.rmtree(self._files / "store")

    def lacks_a_column(self):
        self._worker.reads = {"Predict": wire.FieldPaths(paths=["y"])}
        row = "message Row { double x = 1; double y = 2; }"
        (self._files / "frame.proto").write_text(
            f'syntax = "proto3"; {row} service S {{ rpc Predict(Row) returns (Row); }}'
        )
        hotswap(*SWAP)

    def has_a_misspelt_variable(self):
        self._patch.setenv("HOTSWAP_LINGERMS", "5")

    def has_a_bad_row(self):
        (self._files / "rows.csv").write_text("a,x\nfirst,1.5\nsecond,none\n")


async def _unreachable(*_):
    raise StartError("no Kafka answers")


async def _denied(*_):
    raise Denied("User:me lacks the right Describe of group d")


async def _without_kafka(_):
    yield Finding(Level.FAULT, KAFKA, "no Kafka answers", "is it running?")


async def _faulty(_):
    yield Finding(Level.FAULT, "topics", "gone", "bring it back")


PREDICT, STATUS = ("predict", "d", "rows.csv"), ("status", "d")
EXAMPLES = {
    "`hotswap status d` of a deployment that is well": (World.is_well, STATUS),
    "`hotswap predict d rows.csv`, and each row was answered": (World.is_well, PREDICT),
    "`hotswap predict d rows.csv`, and a row was refused, here or by the fleet": (World.has_a_bad_row, PREDICT),
    "`hotswap swap d …`, and a worker could not load the generation": (World.fails, SWAP),
    "`hotswap swap d … --generation 1`, a number that is taken": (World.is_well, (*SWAP, "--generation", "1")),
    "`hotswap status d`, and something needs an operator": (World.is_unserved, STATUS),
    "`hotswap doctor d`, and something keeps the deployment from its promises": (World.is_faulty, ("doctor", "d")),
    "`hotswap top d --once`, and something needs an operator": (World.is_unserved, ("top", "d", "--once")),
    "`hotswap doctor d`, and no Kafka answers": (World.is_unreachable_for_the_doctor, ("doctor", "d")),
    "`hotswap store verify d`, and an artifact is missing": (World.has_lost_its_store, ("store", "verify", "d")),
    "`hotswap swap d`, which names nothing to change": (World.is_well, ("swap", "d")),
    "`hotswap status d` with `HOTSWAP_LINGERMS=5`": (World.has_a_misspelt_variable, STATUS),
    "`hotswap predict d rows.csv`, and the file lacks a column that the model reads": (World.lacks_a_column, PREDICT),
    "`hotswap status d`, and no Kafka answers": (World.is_unreachable, STATUS),
    "`hotswap status d`, and its user lacks a right": (World.lacks_a_right, STATUS),
    "`hotswap swap e …`, and topics of `e` do not exist": (World.is_well, ("swap", "e", *SWAP[2:])),
    "`hotswap swap d …`, and no worker reports on it": (World.is_silent, SWAP),
}


def test_the_table_has_lines():
    assert len(LINES) > 10


@pytest.mark.parametrize(("code", "example"), [line for line in LINES if line[1] != ELSEWHERE])
def test_the_command_ends_with_the_code_that_the_table_says(cluster, settings, files, monkeypatch, code, example):
    happens, words = EXAMPLES[example]
    happens(World(cluster, settings, files, monkeypatch))
    hotswap(*words, code=code)
