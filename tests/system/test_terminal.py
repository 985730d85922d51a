"""The real command line on a real terminal, while the fleet's topics contain terminal escape sequences."""

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

from confluent_kafka import Producer

from harness.command import variables
from harness.fleet import EXAMPLES, ROOT
from hotswap.v1 import control_pb2 as wire

NAMES = ("[/x]", "[bold]w", "\x1b[2J\x1b]0;title\x07", "\x9b2J", "\u202ew\r\x7f")
COMMANDS = re.compile(r"\x1b\[[0-9;]*m")


def shown(deployment, *words):
    """Return what a command writes to its terminal."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "hotswap", *words],
        env=os.environ | variables(deployment) | {"COLUMNS": "400", "TERM": "xterm-256color"},
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=its, stderr=its,
    )  # fmt: skip
    os.close(its)
    written = _read(ours)
    assert process.wait(10) == 0, written
    return written


def _read(terminal):
    parts = []
    try:
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    except OSError:  # how Linux reports that the other side has closed it
        pass
    os.close(terminal)
    return b"".join(parts).decode()


async def test_whatever_workers_and_requests_are_called_no_escape_sequence_reaches_the_terminal(deployment):
    topics, producer = deployment.settings.topics, Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    for name in NAMES:
        said = wire.WorkerStatus(deployment=deployment.name, worker=name, paths={"score": name}, model_sha256=name)
        said.at.FromSeconds(int(time.time()))
        producer.produce(topics.status, wire.Status(worker=said).SerializeToString(), key=name)
        headers = [(word, name.encode()) for word in ("code", "message", "source")]
        producer.produce(topics.dead_letters, b"x", headers=[*headers, ("generation", b"1")])
    assert await asyncio.to_thread(producer.flush, 10) == 0
    for command in ("status", "dead-letters"):
        written = await asyncio.to_thread(shown, deployment, command, deployment.name)
        assert all(line.isprintable() for line in COMMANDS.sub("", written).replace("\r\n", "\n").split("\n")), written
        for name in ("[/x]", "[bold]w", r"\x1b[2J", r"\x9b2J", r"\u202ew\r\x7f"):
            assert name in written


def test_a_bar_and_the_messages_beside_it_have_lines_of_their_own(tmp_path):
    rows = (EXAMPLES / "data" / "iris.csv").read_text().splitlines()
    rows[2] = "no number,1,1,1,setosa"
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    model, proto = EXAMPLES / "models" / "iris_gbm.zip", EXAMPLES / "protos" / "iris.proto"
    ours, its = pty.openpty()
    with (tmp_path / "predictions.csv").open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "hotswap", "score", tmp_path / "rows.csv", "--model", model, "--proto", proto],
            env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=its,
        )  # fmt: skip
        os.close(its)
        written = _read(ours)
        assert process.wait(10) == 1
    assert "rows" in written
    assert re.search(r"(?:\n|\r|\x1b\[2K|\x1b\[1A)row 2,", written), written


async def test_top_shows_the_fleet_in_80_by_24_and_follows_the_keys(deployment):
    await deployment.serve("iris_gbm")
    process, ours = _on_a_screen(deployment, "top", deployment.name)
    seen = await asyncio.to_thread(_read_until, ours, "answers/s")
    assert f"{deployment.name}: generation 1 serves, 1 worker" in seen
    os.write(ours, b"\x1b[B\r")
    await asyncio.to_thread(_read_until, ours, "partition 1 is served by w1")
    os.write(ours, b"q")
    _read(ours)
    assert await asyncio.to_thread(process.wait, 10) == 0
    assert await deployment.stop() == 0


def _on_a_screen(deployment, *words):
    """Start a command on a terminal of 80 by 24; return the process, and the other end of the terminal."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "hotswap", *words],
        env=os.environ | variables(deployment) | {"TERM": "xterm-256color"},
        cwd=ROOT, stdin=its, stdout=its, stderr=its,
    )  # fmt: skip
    os.close(its)
    return process, ours


def _read_until(terminal, text):
    """Return what a terminal shows up to a text, without its escape sequences."""
    shown, ends = "", time.monotonic() + 30
    while text not in shown:
        assert time.monotonic() < ends, shown
        shown += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(terminal, 1 << 16).decode(errors="replace"))
    return shown
