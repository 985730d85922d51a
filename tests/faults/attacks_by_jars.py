"""What a model can do that is somebody's code: a jar that tries to reach all that its worker can."""

import contextlib
import os
import re
import socket
from pathlib import Path

from fakes.jar_hosts import HOSTILE
from fakes.jars import jar
from hotswap.codec.proto import compile as compile_proto

_PROTO = f'syntax = "proto3"; {HOSTILE} service S {{ rpc act (What) returns (Said); }}'
_NOTHING = "nothing"  # the attempt that always succeeds, and so shows that they are made
_ESCAPED = re.compile(r"escaped: \[(.*?)\]")


async def _staged(stage, what):
    """Swap to a jar that does this with its sample; return the outcome on each worker."""
    (path := stage.folder / "hostile.jar").write_bytes(jar("hostile"))
    message = compile_proto(_PROTO.encode()).operations["act"].input
    command = stage.swap(model=path, proto=_PROTO)
    command.swap.model.kind = "java"
    command.swap.configuration.runtime["class"] = "hostile.Escapes"
    command.swap.samples.append(message(what=what).SerializeToString())
    await stage.send(command)
    return await stage.verdicts(command, 60)


async def _played(stage, *lines):
    """Swap to a jar that makes these attempts while it is staged; return what was seen, and whether all failed."""
    told = await _staged(stage, "\n".join((_NOTHING, *lines)))
    said = [_ESCAPED.findall(stage.deployment.log(name)) for name in stage.alive]
    done = {line for found in said for lines in found for line in lines.split(", ")} - {_NOTHING}
    ran = set(told.values()) == {"FAILED SAMPLE_REFUSED"} and all(_NOTHING in str(found) for found in said)
    is_good = await stage.is_good(base=1)
    seen = f"{len(lines)} attempts, {f'done: {sorted(done)}' if done else 'none succeeded'}, {_outcomes(told)}"
    return f"{seen}, next swap {'READY' if is_good else 'not READY'}", ran and not done and is_good


def _outcomes(told):
    return ", ".join(sorted(set(told.values()))) or "no verdict"


async def files(stage):
    """A jar that reads a canary and the workers' environment, watches folders, and writes to the cache and /dev/shm."""
    (canary := stage.folder / "canary").write_text("untouched")
    cache = stage.deployment.settings.cache / "artifacts"
    await stage.is_good()
    models = [path for path in cache.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in models}
    left = Path("/dev/shm") / f"hotswap-{stage.deployment.name}"
    seen, is_held = await _played(
        stage,
        f"read|{canary}", f"write|{canary}", f"delete|{canary}", f"list|{Path.home()}", f"write|{cache / 'new'}",
        f"watch|{stage.folder}", f"watch|{cache}",
        *(f"read|/proc/{pid}/environ" for pid in (1, os.getppid(), stage.pid("w1"), stage.pid("w2"))),
        *(f"write|{path}" for path in models[:3]), *(f"delete|{path}" for path in models[:3]), f"write|{left}",
    )  # fmt: skip
    is_intact = canary.read_text() == "untouched" and all(
        not path.exists() or path.read_bytes() == content for path, content in before.items()
    )
    return f"{seen}, canary and cache {'intact' if is_intact else 'CHANGED'}", (
        is_held and is_intact and not left.exists() and not (cache / "new").exists()
    )


async def processes(stage):
    """A jar that starts programs, forks 200 times, kills its worker and leaves a process behind."""
    pid = stage.pid("w1")
    seen, is_held = await _played(
        stage, "run|true", "bomb|600", f"kill|{pid}", f"kill|{os.getppid()}", f"run|kill -9 {pid}", "run for ever|600",
    )  # fmt: skip
    left = [path for path in Path("/proc").glob("[0-9]*") if _sleeps(path)]
    return f"{seen}, {len(left)} left behind", is_held and not left


def _sleeps(process):
    with contextlib.suppress(OSError):
        return (process / "cmdline").read_bytes().endswith(b"sleep\x00600\x00")
    return False


async def network(stage):
    """A jar that connects to Kafka, its worker and a socket file, listens, and sends, by JNI from a pair, too."""
    path, pair_path = stage.folder / "socket", stage.folder / "datagrams"
    with (
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as named,
    ):
        named.bind(str(pair_path))
        listener.bind(str(path))
        listener.listen()
        datagrams.bind(("127.0.0.1", 0))
        kafka = stage.deployment.kafka.bootstrap.rpartition(":")[2]
        return await _played(
            stage, f"connect|{kafka}", f"connect|{stage.ports['w1']}", f"send|{datagrams.getsockname()[1]}", "listen|",
            f"connect to a path|{path}", *([f"send from a pair|{pair_path}"] if os.uname().machine == "x86_64" else ()),
        )  # fmt: skip


async def disk(stage):
    """A jar that writes 4 GiB to its folder."""
    told = await _staged(stage, f"fill|{4 << 10}")
    is_good = await stage.is_good(base=1)
    why = "it wrote more to its folder than it may"
    is_told = all(why in stage.deployment.log(name) for name in stage.alive)
    seen = f"{_outcomes(told)}, {why if is_told else 'for another reason'}"
    seen += f", next swap {'READY' if is_good else 'not READY'}"
    return seen, set(told.values()) == {"FAILED HOST_FAILED"} and is_told and is_good
