"""Following the fleet's answer to a command until it is final and confirmed, or late."""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

from hotswap.client import overview
from hotswap.client.answers import PAUSE_S
from hotswap.client.behind import Behind
from hotswap.client.change import Receipt
from hotswap.client.confirming import Confirmation
from hotswap.client.fleet import Fleet, FleetAnswer, Told, WorkerView
from hotswap.client.offsets import Offsets
from hotswap.client.seen import heard_at
from hotswap.errors import Doubt, NoAnswer, StartError
from hotswap.kafka.topics.log import LogRecord
from hotswap.settings import Settings

SILENCE_S = 10.0
_SLACK_S = 10.0
_CONFIRMED_S = 0.1  # a worker's commit is visible within milliseconds of its report


async def follow(
    settings: Settings,
    receipt: Receipt,
    timeout_s: float | None,
    on_held_up: Callable[[str], None] = lambda _: None,
) -> AsyncGenerator[tuple[Told | None, FleetAnswer], None]:
    """Yield each report on a command, or None, with the fleet's answer so far; the last one is final, or time is up.

    Raises:
        NoAnswer: no live worker has reported.

    """
    give_up = time.monotonic() + (receipt.deadline_s + _SLACK_S if timeout_s is None else timeout_s)
    fleet, expected = Fleet(settings.deployment), set[str]()
    behind = Behind(settings.deployment, receipt)
    async with overview.status_log(settings) as reader, Offsets(settings) as offsets:
        confirmation = Confirmation(settings, receipt, offsets)

        def fold(records: Iterable[LogRecord]) -> Iterator[Told]:
            for record in records:
                report = fleet.receive(record.value, heard_at(record))
                if isinstance(report, WorkerView):
                    confirmation.hear(report)
                elif report and report.command_id == receipt.command_id:
                    yield report

        outcomes = [outcome async for records in reader.to_end() for outcome in fold(records)]
        caught_up = time.monotonic()  # a topic that was flooded takes a while
        while True:
            expected = expected or fleet.live(time.time())
            reported = fleet.answer(receipt.command_id, expected, time.time(), is_staged=receipt.rollout is not None)
            is_late = time.monotonic() > give_up
            answer = await confirmation.of(reported, fleet, is_last=is_late)
            for outcome in outcomes:
                yield outcome, answer
            yield None, answer
            if why := behind.look(fleet, time.time()):
                on_held_up(why)
            silent_s = time.monotonic() - caught_up
            if not (expected or answer.told) and (is_late or silent_s > SILENCE_S):
                raise NoAnswer(silence(settings, f"command accepted, but no report for {silent_s:.0f} s"))
            if answer.is_complete or is_late:
                return
            outcomes = list(fold(await reader.read(_CONFIRMED_S if answer.unconfirmed else PAUSE_S)))


async def unanswered(settings: Settings, what: str) -> str:
    """Return why requests have no answers, with advice: the deployment is paused, or no worker answers."""
    name = settings.deployment
    with contextlib.suppress(StartError, Doubt):  # a user who only publishes may not read the log
        if (await overview.read_history(settings)).timeline.is_paused:
            return f"deployment {name!r} is paused ({what}): `hotswap resume {name}` ends that"
    return silence(settings, what)


def silence(settings: Settings, what: str) -> str:
    """Return the message, with advice, if no worker answers."""
    name = settings.deployment
    return (
        f"no worker of deployment {name!r} answers ({what}): check `hotswap status {name}`, or start a worker with "
        f"`hotswap run {name}`"
    )
