"""Rows read and written in processes of their own: what they return, how they end, and what becomes of their work."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.fleet import ROOT
from hotswap.batch import Format
from hotswap.codec.proto import compile as compile_proto
from hotswap.gateway import converters, documents, rows, work
from hotswap.gateway.converters import Converters
from hotswap.gateway.problems import Problem
from hotswap.gateway.turns import Turns
from hotswap.gateway.work import Work

PROTO = b"""
syntax = "proto3";
import "google/protobuf/wrappers.proto";
message Row { double age = 1; google.protobuf.StringValue name = 2; Inner in = 3; message Inner { int32 n = 1; } }
service S { rpc go(Row) returns (Row); }
"""


@pytest.fixture
async def pool(monkeypatch):
    """Return converters that find the functions of this module, too."""
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'worker'}:{ROOT / 'tests'}:{Path(__file__).parent}")
    made = Converters()
    yield made
    await made.close()


@pytest.fixture
def operation():
    return compile_proto(PROTO).operations["go"]


def alive(pids):
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


async def told(file):
    """Return what a file says, once it is there and says something."""
    async with asyncio.timeout(60):
        while not (file.exists() and file.read_text()):
            await asyncio.sleep(0.02)
    return file.read_text()


async def test_what_is_read_and_written_apart_is_what_is_read_and_written_here(pool, operation, monkeypatch):
    apart = Work("a", Turns(1, of_one=1), pool)
    texts = [
        (Format.JSON, b'[{"age": 1.5, "name": "Zo\xc3\xab"}, {"age": "x"}, {"in": {"n": 3}}]'),
        (Format.JSON, b"[1, {}]"),
        (Format.CSV, b"age,name,in.n\n1.5,a,3\nx,b,4\n"),
    ]
    found = []
    for at_once in (1 << 20, -1):
        monkeypatch.setattr(work, "_AT_ONCE", at_once)
        for content, text in texts:
            given = await rows.read(text, content, operation, None, apart)
            written = [
                await documents.write(given.values, accept, operation, apart) for accept in (Format.CSV, Format.JSON)
            ]
            items = await documents.write_items(
                [documents.Good({"row": 1}, given.values[0]), *given.faults], operation, apart
            )
            found.append((given.numbers, given.values, given.faults, given.notes, written, items))
    assert found[:3] == found[3:]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (Format.JSON, b"[" + b"{}," * work.ROWS + b"{}]"),
        (Format.JSON, b"{}\n" * (work.ROWS + 1)),
        (Format.CSV, b"age\n" + b"1\n" * (work.ROWS + 1)),
        (Format.JSON, b"[" + b"1," * work.ROWS + b"1]"),
    ],
    ids=["list", "lines", "csv", "bad rows"],
)
async def test_more_rows_than_a_call_may_have_are_refused(pool, operation, content, text):
    with pytest.raises(Problem, match="at most 200,000 rows") as refused:
        await rows.read(text, content, operation, None, Work("a", Turns(1, of_one=1), pool))
    assert refused.value.status == 413


def _grow(size):
    return len(b"".join(bytes(1 << 20) for _ in range(size >> 20)))


async def test_what_needs_too_much_memory_is_refused_and_the_next_is_not(pool):
    with pytest.raises(Problem, match="more memory") as refused:
        await pool.do(_grow, 1 << 30)
    assert refused.value.status == 413
    assert await pool.do(_grow, 1 << 20) == 1 << 20


def _stay(file):
    Path(file).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


async def test_what_is_given_up_ends_at_once(pool, tmp_path):
    task = asyncio.create_task(pool.do(_stay, str(tmp_path / "pid")))
    pid = int(await told(tmp_path / "pid"))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not alive([pid])


async def test_what_takes_too_long_is_refused_and_ends(pool, tmp_path, monkeypatch):
    await pool.do(_grow, 0)  # started
    monkeypatch.setattr(converters, "WORK_S", 0.5)
    with pytest.raises(Problem, match=r"more than 0.5 s") as refused:
        await pool.do(_stay, str(tmp_path / "pid"))
    assert refused.value.status == 413
    assert not alive([int(await told(tmp_path / "pid"))])


def _die():
    os.kill(os.getpid(), signal.SIGKILL)


async def test_a_process_that_dies_fails_its_call_alone(pool):
    with pytest.raises(Problem, match="ended with -9") as refused:
        await pool.do(_die)
    assert refused.value.status == 422
    assert await pool.do(_grow, 0) == 0


def _fail():
    raise KeyError("odd")


async def test_a_bug_is_raised_with_its_traceback(pool):
    with pytest.raises(RuntimeError, match=r"(?s)in _fail.*KeyError: 'odd'"):
        await pool.do(_fail)


async def test_a_process_that_was_killed_while_idle_is_replaced(pool):
    first = await pool.do(os.getpid)
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(60):
        while not pool._idle[0].has_ended:
            await asyncio.sleep(0.01)
    assert await pool.do(os.getpid) != first


async def test_a_process_is_kept_but_after_large_work(pool):
    first = await pool.do(os.getpid)
    assert await pool.do(os.getpid) == first
    assert await pool.do(len, bytes(2 << 20)) == 2 << 20
    assert not alive([first])


async def test_no_process_is_left_when_its_parent_ends(tmp_path):
    script = (
        "import asyncio, os\nfrom hotswap.gateway.converters import Converters\n"
        "async def main():\n    print(await Converters().do(os.getpid), flush=True)\n    os._exit(0)\n"
        "asyncio.run(main())"
    )
    out = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", script], text=True)
    async with asyncio.timeout(60):
        while alive([int(out)]):
            await asyncio.sleep(0.02)
