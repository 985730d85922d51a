"""The whole story on one screen: a stream is scored while its model is swapped, refused, re-purposed and rolled back.

    make demo        (or: python examples/demo.py --help)

Five commands go to one standing deployment of two workers, while a steady stream of requests flows through it. At the
end, everything is counted from the topics themselves, and drawn. If HOTSWAP_KAFKA is set, the demo uses that Kafka;
otherwise it starts a real one of its own.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from demo_count import Count, Moment, count
from demo_domains import MODELS, PROTOS, Domain, load_domain, load_offline
from demo_fleet import Workers, kafka, settings_for
from demo_picture import draw
from demo_screen import Screen
from demo_stream import Stream

from hotswap import logs
from hotswap.cli.exits import exit_code
from hotswap.client.answers import Answers
from hotswap.client.change import Change, Receipt, Rollout
from hotswap.client.client import Client
from hotswap.errors import HotswapError, SwapError
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.log import LogReader
from hotswap.settings import Settings

PICTURE = Path(__file__).resolve().parents[1] / "build" / "demo.svg"
PARTITIONS = 4
WATCH_S = 0.1
FAULTY, INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A command to the deployment, and the domain of the requests from then on."""

    title: str
    send: Callable[[Client], Awaitable[Receipt]]
    domain: Domain
    is_refused: bool = False


def scenes(iris: Domain, cancer: Domain, garbage: Path) -> list[Scene]:
    """Returns the story: what an operator does to a deployment, one command each."""
    gbm, glm, oncology = (MODELS / f"{name}.zip" for name in ("iris_gbm", "iris_glm", "cancer_gbm"))
    return [
        Scene(
            title="serve iris_gbm",
            send=lambda client: client.swap(Change(model=gbm, proto=PROTOS / "iris.proto")),
            domain=iris,
        ),
        Scene(
            title="swap to iris_glm",  # the proto is inherited
            send=lambda client: client.swap(Change(model=glm)),
            domain=iris,
        ),
        Scene(
            title="swap to a broken file",
            send=lambda client: client.swap(Change(model=garbage, kind="h2o")),
            domain=iris,
            is_refused=True,
        ),
        Scene(
            title="re-purpose for breast cancer",  # another model and another proto: staged first, then cut
            send=lambda client: client.swap(Change(model=oncology, proto=PROTOS / "cancer.proto", rollout=Rollout())),
            domain=cancer,
        ),
        Scene(
            title="roll back to the irises",
            send=lambda client: client.rollback(rollout=Rollout()),
            domain=iris,
        ),
    ]


async def play(
    scenes: list[Scene], settings: Settings, workers: Workers, screen: Screen, options: argparse.Namespace
) -> list[Moment]:
    """Sends the commands while the stream flows; returns the outcome of each once every request is answered."""
    async with Client(settings) as client, Answers.from_now_on(settings) as answers:
        stream = Stream(client, scenes[0].domain, per_second=options.rate)
        moments = []
        async with beside(workers.watch(), stream.follow(answers), stream.publish(), screen.follow(stream)):
            for scene in scenes:
                moments.append(await command(scene, client, stream, screen))
                if scene is scenes[0]:
                    await everyone_at_work(client, workers.size)
                    stream.start()
                screen.now = f"{scene.domain.name} stream"
                await asyncio.sleep(options.seconds)
            screen.now = "awaiting the last answers"
            await stream.stop()
        return moments


async def everyone_at_work(client: Client, size: int) -> None:
    """Waits until each worker has its share of the partitions."""
    while sum(bool(worker.partitions) for worker in (await client.status()).live) < size:  # noqa: ASYNC110 - it polls Kafka
        await asyncio.sleep(WATCH_S)


async def command(scene: Scene, client: Client, stream: Stream, screen: Screen) -> Moment:
    """Sends a command, and awaits the outcome on each worker; the stream changes over at the cut."""
    screen.now = scene.title
    began = time.time()
    receipt = await scene.send(client)
    answer = await client.await_swap(receipt, changing_over=partial(stream.switched_to, scene.domain))
    reason = next((f"{told.code}: {told.message}" for told in answer.told.values() if not told.is_good), "")
    if answer.is_good == scene.is_refused:
        raise SwapError("UNEXPECTED", f"{scene.title}: {reason or 'it was not refused'} {', '.join(answer.missing)}")
    moment = Moment(receipt.generation, scene.title, began, time.time(), reason)
    screen.said(moment)
    return moment


async def count_answers(settings: Settings, iris: Domain, cancer: Domain) -> Count:
    """Counts the answers from the topics themselves, with read_committed."""
    models = [load_offline("iris_gbm", iris), load_offline("iris_glm", iris), load_offline("cancer_gbm", cancer)]
    topics = settings.topics
    requests, predictions, dead_letters = [
        await read(settings, topic) for topic in (topics.requests, topics.predictions, topics.dead_letters)
    ]
    return count(requests, predictions, dead_letters, models)


async def read(settings: Settings, topic: str) -> list[Any]:
    """Returns every committed record of a topic."""
    reader = LogReader(settings, topic, read_committed=True)
    try:
        await reader.start()
        return await reader.read_to_end()
    finally:
        await reader.stop()


@asynccontextmanager
async def beside(*parts: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs the parts for as long as the block; the first that fails ends everything with its own error."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in parts]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def demo(bootstrap: str, folder: Path, screen: Screen, options: argparse.Namespace) -> int:
    """Runs it all: topics, workers, the story, the count and the picture; returns the exit code."""
    iris, cancer = load_domain("iris"), load_domain("cancer")
    garbage = folder / "better.zip"
    garbage.write_bytes(b"This is no model.")
    settings = settings_for(bootstrap, folder)
    async with Admin.connect(settings) as admin:
        await admin.create_topics(PARTITIONS)
    screen.say(f"Kafka at {bootstrap}, deployment {settings.deployment}, two workers, {options.rate:g} requests/s")
    with Workers(settings, folder) as workers:
        moments = await play(scenes(iris, cancer, garbage), settings, workers, screen, options)
    counted = await count_answers(settings, iris, cancer)
    if counted.answered:
        draw(counted, moments, options.picture)
    screen.report(counted, moments, options.picture)
    return FAULTY if counted.faults else 0


def parse() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300, help="requests per second (default 300)")
    parser.add_argument("--seconds", type=float, default=6, help="of steady stream after each command (default 6)")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where the picture goes (default build/demo.svg)")
    return parser.parse_args()


def main() -> int:
    """Runs the demo; exit code 0: everything as promised, 1: not so, 3: it cannot run, 130: interrupted."""
    options, screen = parse(), Screen()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    logs.set_up(level="CRITICAL", style="text")
    try:
        with screen, tempfile.TemporaryDirectory(prefix="hotswap-demo-") as folder, kafka() as bootstrap:
            return asyncio.run(demo(bootstrap, Path(folder), screen, options))
    except HotswapError as error:
        screen.complain(str(error))
        return exit_code(error)
    except KeyboardInterrupt:
        screen.complain("interrupted: everything is stopped, nothing is left behind")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
