"""What strangers can do to ports, terminals and processes, and by numbers and words on the control topic."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
import urllib.request
from pathlib import Path

from faults.fold import Status
from faults.raw_batches import Record, batch
from faults.storm_commands import PROTO, sha256


async def connections(stage):
    """1,100 connections to the HTTP port that never end."""
    held, address = [], ("127.0.0.1", stage.ports["w1"])
    with contextlib.suppress(OSError):
        held.extend(socket.create_connection(address, timeout=2) for _ in range(1_100))
    process = Path(f"/proc/{stage.pid()}")
    threads, descriptors = len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))
    is_alive = await asyncio.to_thread(_answers, stage.ports["w1"])
    is_good, is_back = await stage.is_good(), await stage.hosts_come_back()
    for connection in held:
        connection.close()
    seen = f"{threads} threads, {descriptors} descriptors, livez {'answers' if is_alive else 'silent'}"
    seen += f", next swap {'READY' if is_good else 'not READY'}, a killed host {'back' if is_back else 'gone'}"
    return seen, threads < 30 and descriptors < 150 and is_alive and is_good and is_back


def _answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=3) as answer:
            return answer.status == 200
    except OSError:
        return False


async def last_number(stage):
    """A swap to generation 2^64-1."""
    # A log has a rule against it from the first command of a client that does.
    await stage.command_line("resume")
    command = stage.swap()
    command.swap.generation = 2**64 - 1
    await stage.send(command)
    told = await stage.verdicts(command, 10)
    is_good = await stage.is_good()
    code, _ = await stage.command_line("status")
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    seen = f"{said}, next swap {'READY' if is_good else 'not READY'}, status exits {code}"
    return seen, is_good and code == 0 and all(each.startswith("REFUSED") for each in told.values())


async def long_status(stage):
    """A proto whose rpcs make the status too large."""
    rpcs = "".join(f"  rpc {'R' * 12_000}{number}(Iris) returns (Species);\n" for number in range(100))
    made = re.sub(r"  rpc .*\n", rpcs, PROTO)
    (path := stage.folder / "long.proto").write_text(made)
    command = stage.swap()
    command.swap.proto.uri, command.swap.proto.sha256 = path.as_uri(), sha256(path)
    await stage.send(command)
    told = await stage.verdicts(command, 45)
    began = time.monotonic()
    is_good = await stage.is_good(proto=PROTO)
    took = time.monotonic() - began
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    return f"{said}, next swap {f'READY after {took:.1f} s' if is_good else 'not READY'}", bool(told) and is_good


async def terminal(stage):
    """A worker named [/x], and one that clears the screen."""
    records = []
    for name in ("[/x]", "\x1b[2J\x9b2J\u202e"):
        status = Status()
        status.worker.deployment, status.worker.worker = stage.deployment.name, name
        status.worker.at.FromSeconds(int(time.time()))
        records.append(Record(key=name.encode(), value=status.SerializeToString()))
    await stage.raw.send(stage.topics.status, 0, batch(records).at(0))
    code, shown = await stage.command_line("status")
    odd = sorted({char for char in shown if not char.isprintable() and char != "\n"})
    seen = f"status exits {code}, {f'{odd} reach the terminal' if odd else 'all is escaped'}"
    return seen, code == 0 and not odd and "[/x]" in shown


async def early_term(stage):
    """SIGTERM at 16 moments of a start."""
    codes = []
    for tenths in range(16):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hotswap", "run", stage.deployment.name,
            env={**os.environ, **_environment(stage), "HOTSWAP_WORKER_ID": "w9"}, cwd=stage.code,
            stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        await asyncio.sleep(0.3 + tenths / 10)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        codes.append(await asyncio.wait_for(process.wait(), 30))
    by_signal = sum(code != 0 for code in codes)
    return f"{by_signal} of {len(codes)} did not end with 0", by_signal == 0


def _environment(stage):
    given = stage.deployment.settings.model_dump(mode="json", include=stage.deployment.settings.model_fields_set)
    return {f"HOTSWAP_{name.upper()}": str(value) for name, value in given.items()}


async def left_behind(stage):
    """A process in its own session, started by a model."""
    stage.evil.write_text("setsid")
    is_good = await stage.is_good()
    there = _left_behind(stage.evil)
    stage.evil.unlink()
    await stage.is_good()
    is_gone = await stage.plane.until(lambda: not _left_behind(stage.evil), 15)
    for pid in _left_behind(stage.evil):
        os.kill(pid, signal.SIGKILL)
    seen = f"{len(there)} of them; 15 s after their hosts they are {'gone' if is_gone else 'still there'}"
    return seen, is_good and bool(there) and is_gone


def _left_behind(file):
    """Return the ids of the processes that evil_child.py left behind for this file; in its namespace they differ."""
    found, words = [], [b"left-behind", str(file).encode()]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")[-2:] == words:
                found.append(int(process.name))
    return found
