"""What strangers can send, each played beside a steady stream: what was seen, and what the stream felt of it.

`make attacks` prints the table; `make attacks WORKER=/path/to/checkout` the one of another commit's workers.
"""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from faults import bad_artifacts
from faults.fold import Status
from faults.raw_batches import Record, batch, of_zeros
from faults.stage import WORKERS, Stage
from faults.storm_commands import PROTO
from harness.fleet import ROOT, messages

from worker.local_kafka import LocalKafka

_QUIET_S = 8.0
_LEAST_S = 8.0
_TIMES = 3.0
_BOUND_MB = 300
_ODD = ((b"\xff\xfe", b"1"), (b"request-id", b"7"))
_IRIS = messages("iris")[0][0]


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    attack: str
    seen: str
    is_held: bool
    unanswered: int
    twice: int
    quiet_ms: float
    during_ms: float

    @property
    def holds(self):
        return self.is_held and not self.unanswered and not self.twice and self.during_ms <= _TIMES * self.quiet_ms

    def __str__(self):
        p99 = f"{self.quiet_ms:.0f} → {self.during_ms:.0f}"
        verdict = "holds" if self.holds else "BROKEN"
        return f"| {self.attack} | {self.seen} | {self.unanswered} | {self.twice} | {p99} | {verdict} |"


HEAD = "| attack | seen | unanswered | twice | p99 without → with, ms | verdict |\n|---|---|---|---|---|---|"


async def run(folder, *, code=ROOT, only=(), say=print):
    """Play the attacks on workers of a checkout; the rows that do not hold are the findings."""
    rows = []
    with LocalKafka() as kafka:
        say(f"attacks on the workers of {code}\n{HEAD}")
        for attack in ATTACKS:
            if only and attack.__name__ not in only:
                continue
            (place := folder / attack.__name__).mkdir()
            rows.append(await _play(kafka, place, code, attack))
            say(str(rows[-1]))
    return [str(row) for row in rows if not row.holds]


async def _play(kafka, folder, code, attack):
    name = attack.__doc__.rstrip(".")
    async with Stage(kafka, folder, code) as stage:
        await asyncio.sleep(_QUIET_S / 4)
        quiet = time.time()
        await asyncio.sleep(_QUIET_S)
        began = time.time()
        try:
            seen, is_held = await attack(stage)
        except Exception as error:  # noqa: BLE001 - what an attack does to the harness is a line of the table too
            seen, is_held = f"{type(error).__name__}: {error}"[:200], False
        await asyncio.sleep(max(0.0, began + _LEAST_S - time.time()))
        ended = stage.over or time.time()
        unanswered, twice = await stage.settle()
        if len(stage.alive) < len(WORKERS):
            seen, is_held = f"{seen}; {len(stage.alive)} of {len(WORKERS)} workers left", False
        return Row(name, seen, is_held, unanswered, twice, stage.p99_ms(quiet, began), stage.p99_ms(began, ended))


# ---- what is published


def _told(letter):
    if letter is None:
        return "no dead letter"
    kept = "without its value" if letter["value"] is None else f"with {len(letter['value'])} bytes"
    return f"dead letter {letter['code'].decode()} {kept}"


async def header_name(stage):
    """A header name that is no UTF-8."""
    place = await stage.raw.send(stage.topics.requests, 0, batch([Record(value=_IRIS, headers=_ODD)]).at(0))
    letter = await stage.letter(0, place)
    return _told(letter), bool(letter) and letter["code"] == b"MALFORMED_HEADER" and letter["value"] == _IRIS


async def header_name_on_control(stage):
    """The same on the control topic."""
    await stage.raw.send(stage.topics.control, 0, batch([Record(value=b"x", key=b"k", headers=_ODD)]).at(0))
    is_good = await stage.is_good()
    code, shown = await stage.command_line("status")
    said = "cannot be read" in shown
    return f"next swap {'READY' if is_good else 'not READY'}, status exits {code}, {'tells' if said else 'silent'}", (
        is_good and code == 0 and said
    )


async def inflates(stage):
    """3 MiB of zeros in 185 bytes."""
    made = of_zeros(3 << 20).at(0)
    place = await stage.raw.send(stage.topics.requests, 0, made)
    letter = await stage.letter(0, place)
    return _told(letter), bool(letter) and letter["code"] == b"TOO_LARGE" and letter.get("value-size") == b"3145728"


async def inflates_to_a_gigabyte(stage):
    """32 KiB that inflate to 1 GiB."""
    place = await stage.raw.send(stage.topics.requests, 0, of_zeros(1 << 30).at(0))
    letter = await stage.letter(0, place, 30)
    peak = stage.peak_mb()
    is_told = bool(letter) and letter["code"] == b"TOO_LARGE" and "batch-sha256" in letter
    return f"{_told(letter)}, worker {peak} MB", is_told and peak < _BOUND_MB


# ---- swaps


async def _swaps_to(stage, uri):
    """Twenty swaps to a store, each with a deadline of a second; then a good one, and a host that dies."""
    for _ in range(20):
        command = stage.swap()
        command.swap.model.uri, command.swap.model.sha256 = uri, "a" * 64
        command.swap.deadline_ms = 1_000
        await stage.send(command)
        await stage.verdicts(command, 3)
    began = time.monotonic()
    is_good = await stage.is_good()
    took = time.monotonic() - began
    is_back = await _is_back(stage)
    good = f"a good swap {f'READY in {took:.1f} s' if is_good else 'not READY'}"
    return f"{good}, a killed host {'back' if is_back else 'gone'}", is_good and is_back


async def _is_back(stage):
    """Whether hosts come again that are killed; what the stream feels of that is not the attack's doing."""
    stage.over = time.time()
    before = stage.hosts()
    for pid in before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return await stage.plane.until(lambda: bool(set(stage.hosts()) - set(before)), 20)


async def store_fifo(stage):
    """Twenty swaps to a FIFO."""
    return await _swaps_to(stage, bad_artifacts.fifo(stage.folder / "fifo").as_uri())


async def store_silent(stage):
    """Twenty swaps to a server that never answers."""
    with bad_artifacts.silent_server() as server:
        return await _swaps_to(stage, f"ftp://127.0.0.1:{server.getsockname()[1]}/model.zip")


async def _after(stage, command, seconds=60):
    """What becomes of a bad swap, and whether the next one is good."""
    began = time.monotonic()
    await stage.send(command)
    told = await stage.verdicts(command, seconds)
    took = time.monotonic() - began
    is_good = await stage.is_good()
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    return told, f"{said} after {took:.1f} s, next swap {'READY' if is_good else 'not READY'}", is_good


async def long_ready(stage):
    """READY with 60 MiB of JSON."""
    stage.evil.write_text("ready")
    command = stage.swap()
    await stage.send(command)
    told = await stage.verdicts(command, 60)
    stage.evil.unlink()
    is_good = await stage.is_good()
    said = ", ".join(sorted(set(told.values()))) or "no verdict"
    seen = f"{said}, worker {stage.peak_mb()} MB, next swap {'READY' if is_good else 'not READY'}"
    return seen, set(told.values()) == {"FAILED HOST_FAILED"} and is_good and stage.peak_mb() < _BOUND_MB


async def many_inodes(stage):
    """An archive of 130,000 folders and empty files."""
    path = bad_artifacts.many_inodes(stage.folder / "inodes.zip")
    before = _inodes(stage.folder)
    command = stage.swap(model=path)
    command.swap.deadline_ms = 2_000
    told, seen, is_good = await _after(stage, command)
    made = _inodes(stage.folder) - before
    return f"{path.stat().st_size // 1024} KiB, {seen}, {made} inodes left", (
        bool(told)
        and set(told.values()) <= {"FAILED ARTIFACT_INVALID", "FAILED DEADLINE_EXCEEDED"}
        and is_good
        and not made
    )


def _inodes(folder):
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder / "cache"))


async def nested_jars(stage):
    """A zip of jars, 2.4 MB that a host would unpack into 2,400 MB of memory."""
    command = stage.swap(model=bad_artifacts.nested_jars(stage.folder / "jars.zip", count=24, size=100 << 20))
    command.swap.model.kind = "java"
    told, seen, is_good = await _after(stage, command)
    return seen, set(told.values()) <= {"FAILED ARTIFACT_INVALID"} and bool(told) and is_good


# ---- ports, numbers, words


async def connections(stage):
    """1,100 connections to the HTTP port that never end."""
    held, address = [], ("127.0.0.1", stage.ports["w1"])
    with contextlib.suppress(OSError):
        held.extend(socket.create_connection(address, timeout=2) for _ in range(1_100))
    process = Path(f"/proc/{stage.pid()}")
    threads, descriptors = len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))
    is_alive = await asyncio.to_thread(_answers, stage.ports["w1"])
    is_good, is_back = await stage.is_good(), await _is_back(stage)
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
    # Where it has a rule against it, a log keeps it from the first command of a client that does.
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
    rpcs = "".join(f"  rpc {'R' * 380}{number}(Iris) returns (Scores);\n" for number in range(1_500))
    head, _, rest = PROTO.partition("service")
    made = head + "service" + rest[: rest.index("{") + 1] + "\n" + _like(rest, rpcs) + "}\n"
    command = stage.swap(proto=made)
    await stage.send(command)
    await stage.verdicts(command, 45)
    began = time.monotonic()
    is_good = await stage.is_good(proto=PROTO)
    took = time.monotonic() - began
    return f"next swap {f'READY after {took:.1f} s' if is_good else 'not READY'}", is_good


def _like(service, rpcs):
    """The rpcs with the messages of the one in this service."""
    given, taken = re.search(r"\(\s*([\w.]+)\s*\)\s*returns\s*\(\s*([\w.]+)\s*\)", service).groups()
    return rpcs.replace("(Iris)", f"({given})").replace("(Scores)", f"({taken})")


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


# ---- processes


async def early_term(stage):
    """SIGTERM at 16 moments of a start."""
    codes = []
    for tenths in range(16):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker", "run", stage.deployment.name,
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
    """A process in a session of its own, started by a model."""
    stage.evil.write_text("setsid")
    is_good = await stage.is_good()
    pid = int(stage.evil.read_text().split()[1])
    stage.evil.unlink()
    await stage.is_good()
    is_gone = await stage.plane.until(lambda: not _is_there(pid), 15)
    if not is_gone:
        os.kill(pid, signal.SIGKILL)
    return f"15 s after its host it is {'gone' if is_gone else 'still there'}", is_good and is_gone


def _is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


ATTACKS = (
    header_name, header_name_on_control, inflates, inflates_to_a_gigabyte, store_fifo, store_silent, long_ready,
    many_inodes, nested_jars, connections, last_number, long_status, terminal, early_term, left_behind,
)  # fmt: skip
