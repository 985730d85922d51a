"""`python -m image.proof`, in tests/: the image is built twice, and a worker from it scores a stream in a pod's place.

A base is made by debootstrap, since no registry is asked. The target `gateway` of ops/Dockerfile is built from scratch,
and again: the files must be the same. Its bill of materials must name what its lock does, its labels say what was
built. Then a worker starts under the restrictions of a pod (read-only root, the numeric user, no capabilities, no new
privileges) with HOTSWAP_SANDBOX=require, scores a stream from a real Kafka while its model is swapped, and stops
cleanly.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from harness.audit import generation
from harness.fleet import EXAMPLES, ROOT, Deployment, messages
from hotswap import __version__
from hotswap.client.change import Change
from hotswap.local.kafka import LocalKafka
from image import engine, parts

_TARGET = "gateway"
_TAGS = ("hotswap:one", "hotswap:two")
_ROUNDS = 50  # of the 150 irises
_VARIABLES = {"HOTSWAP_SANDBOX": "require", "HOTSWAP_LOG_FORMAT": "json", "HOTSWAP_CACHE": "/var/cache/hotswap"}
_USER = 10_001
_WRITABLE = ("/tmp", "/var/cache/hotswap")
_REVISION = "0123456789abcdef"


class Podded(Deployment):
    """A deployment whose worker is a container."""

    def __init__(self, podman: engine.Engine, image: str, kafka: LocalKafka, folder: Path, **settings: Any) -> None:
        super().__init__(kafka, folder, **settings)
        self._podman, self._image = podman, image

    def run(self, name: str) -> int:
        """Start a worker; return its process id on this machine."""
        given = self.settings.model_dump(mode="json", include=self.settings.model_fields_set)
        variables = {f"HOTSWAP_{key.upper()}": str(value) for key, value in given.items()} | _VARIABLES
        store = self.folder / "store"
        seen = ["--volume", f"{store}:{store}:ro"]
        for place in _WRITABLE:  # as a pod's empty folders, of its user's group
            (folder := Path(tempfile.mkdtemp(dir=self.folder))).chmod(0o770)
            os.chown(folder, 0, _USER)
            seen += ["--volume", f"{folder}:{place}"]
        return self._podman.start(
            name, self._image, "run", self.name, options=tuple(seen), HOTSWAP_WORKER_ID=name, **variables
        )


def main() -> int:
    """Prove it; return the exit code."""
    if lacks := engine.missing():
        say("hotswap: the image's proof needs " + "; ".join(lacks))
        return 1
    with engine.Engine() as podman:
        return int(not all([*_built(podman), *asyncio.run(_served(podman))]))


def _built(podman: engine.Engine) -> Iterator[bool]:
    started = time.monotonic()
    podman.make_base(ROOT / "build" / "image-base.tar")
    say(f"  the base: {time.monotonic() - started:.0f} s")
    facts = {"VERSION": __version__, "REVISION": _REVISION, "BASE_DIGEST": podman.inspect(engine.BASE)["Digest"]}
    for tag in _TAGS:
        started = time.monotonic()
        podman.build(_TARGET, tag, **facts)
        say(f"  the target {_TARGET}: {time.monotonic() - started:.0f} s, {podman.inspect(tag)['Size'] / 1e6:.0f} MB")
    one, two = map(podman.mounted, _TAGS)
    unlike = sorted(parts.differing(one, two))
    yield check("two builds have the same files, with their rights and times", unlike[:9])
    # Not the same id: in Docker's format, which has health checks, it depends on the names of the builds' containers.
    layers = [podman.inspect(tag)["RootFS"]["Layers"] for tag in _TAGS]
    yield check("two builds have the same layers", [digest for digest in layers[0] if digest not in layers[1]])
    yield check("labels and user are as built, and pip is not in it", _misdescribed(podman, one, facts))
    wanted, named = parts.wanted(ROOT / "ops" / "image" / f"{_TARGET}.lock"), parts.named(one)
    yield check(f"the bill of materials names the {len(named)} packages and jars of the locks", sorted(wanted ^ named))
    yield check("what is installed belongs to root, and nobody else may write it", list(parts.loose(one / "opt")))
    say(parts.table(one))


def _misdescribed(podman: engine.Engine, root: Path, facts: dict[str, str]) -> list[str]:
    """Return where an image's labels, user and packages are not what was built."""
    config = podman.inspect(_TAGS[0])["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    wanted = {"version": facts["VERSION"], "revision": _REVISION, "base.digest": facts["BASE_DIGEST"]}
    wrong = [f"{name}: {labels.get(name)}" for name, value in wanted.items() if labels.get(name) != value]
    wrong += [] if config["User"] == "10001:10001" else [f"the user is {config['User']}"]
    return wrong + [str(path) for path in root.glob("opt/hotswap/lib/python3.*/site-packages/pip")]


async def _served(podman: engine.Engine) -> list[bool]:
    """Have a worker score a stream, and look at it meanwhile."""
    with tempfile.TemporaryDirectory(prefix="image-", dir="/var/tmp") as name, LocalKafka() as kafka:
        folder = Path(name)
        folder.chmod(0o755)  # its user is another one
        port = 18_000 + os.getpid() % 2_000  # none that a client of Kafka's could have
        deployment = await Podded(podman, _TAGS[0], kafka, folder, http_port=port).create(4)
        os.umask(0o022)
        (folder / "store").mkdir()
        first = deployment.run("w1")
        found = await _scored(deployment)
        found += [_is_restricted(first), _is_healthy(podman, port)]
        podman.run("stop", "--time", "15", "w1")
        code = podman.inspect("w1")["State"]["ExitCode"]
        said = podman.run("logs", "w1", check=False)
        wrong = [f"exit code {code}", *said.splitlines()[-5:]] if code else []
        return [*found, check("the worker stops cleanly, at SIGTERM", wrong)]


async def _publish(deployment: Podded, values: list[bytes], swapped: asyncio.Event) -> None:
    """Publish these again and again, and once more after the swap."""
    while not swapped.is_set():
        await deployment.publish(values)
    await deployment.publish(values)


async def _scored(deployment: Podded) -> list[bool]:
    values, _, _ = messages("iris")
    async with deployment.client() as client:
        proto = EXAMPLES / "protos" / "iris.proto"
        receipt = await client.swap(Change(model=EXAMPLES / "models" / "iris_gbm.zip", proto=proto))
        served = [await client.await_swap(receipt, timeout_s=120)]
        if not served[0].is_good:
            return [check("a first model serves", served)]
        started = time.monotonic()
        swapped = asyncio.Event()
        stream = asyncio.create_task(_publish(deployment, values * _ROUNDS, swapped))
        receipt = await client.swap(Change(model=EXAMPLES / "models" / "iris_glm.zip"))
        served.append(await client.await_swap(receipt, timeout_s=120))
        swapped.set()
        await stream
        await deployment.drained(120)
    took = time.monotonic() - started
    audit = await deployment.audit()
    text = f"{audit.asked:,} requests and a swap in {took:.0f} s: lost {len(audit.lost)}, twice {len(audit.twice)}"
    wrong = [str(answer) for answer in served if not answer.is_good]
    wrong += [f"{name}: {str(places)[:200]}" for name, places in audit.faults.items()]
    wrong += [f"{len(audit.dead_letters)} are refused"] if audit.dead_letters else []
    by = sorted({generation(message) for message in audit.predictions})
    wrong += [] if by == [1, 2] else [f"the answers are by the generations {by}"]
    return [check(text, wrong)]


def _is_restricted(pid: int) -> bool:
    """Look at the worker's process and at those of its model hosts."""
    worker = psutil.Process(pid)
    kin = [worker, *worker.children(recursive=True)]
    wrong = [f"{one.name()} {one.pid}: {told}" for one in kin for told in parts.liberties(one.pid)]
    layers = [parts.filters(one.pid) for one in kin]
    wrong += [] if max(layers) > min(layers) else ["no process has the filter of the sandbox besides the engine's"]
    text = (
        f"{len(kin)} processes (worker, supervisors, hosts): no root, no capability, no new privilege, read-only root"
    )
    return check(f"{text}; {sum(layer > min(layers) for layer in layers)} of them in the sandbox besides", wrong)


def _is_healthy(podman: engine.Engine, port: int) -> bool:
    told = podman.run("healthcheck", "run", "w1", check=False).strip()
    wrong = [] if told in {"", "healthy"} else [told]
    return check(f"the image's health check finds the worker at the port that was set, {port}", wrong)


def check(what: str, wrong: Sequence[object]) -> bool:
    """Say what was looked at, and what was wrong; return whether nothing was."""
    say(f"{'✗' if wrong else '✓'} {what}")
    for line in wrong:
        say(f"    {line}")
    return not wrong


def say(line: str) -> None:
    """Print a line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
