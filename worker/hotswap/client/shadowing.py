"""The beginning of a shadow: a deployment that answers another one's requests, to topics of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple

from hotswap.artifacts.store import Store
from hotswap.client import protos
from hotswap.client.change import Change, Receipt, read_proto
from hotswap.client.client import Client
from hotswap.client.history import History
from hotswap.client.overview import read_fleet, read_history
from hotswap.client.preparing import Preparing
from hotswap.client.shares import read_window
from hotswap.client.stepping import canary, forecast
from hotswap.errors import UsageError
from hotswap.kafka.partition.moving import begin_at
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.topics.topics import Retained
from hotswap.settings import Settings
from hotswap.swap.sample import Sampling, Shadowed

WEEK_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where a shadow begins, and which requests it answers; by default, all from now on."""

    since_s: float | None = None
    """At the first request of this time, in seconds since the epoch; None: see `is_from_start`."""
    is_from_start: bool = False
    """Whether it begins at the oldest request that is retained, rather than now."""
    partitions: Fraction | None = None
    """This part of the partitions alone; None: all."""
    per_million: int = 0
    """How many of a million requests are answered; 0: all."""
    retention_s: float = WEEK_S
    """How long its answers are kept."""

    @property
    def is_default(self) -> bool:
        """Whether nothing of it was asked for."""
        return self == Beginning()


class Begun(NamedTuple):
    """A shadow whose workers can be started: its settings, its swap, None if it was there before, and what to tell."""

    settings: Settings
    receipt: Receipt | None
    notes: tuple[str, ...] = ()


async def begin(champion: Settings, name: str, change: Change | None, beginning: Beginning) -> Begun:
    """Make the topics of a shadow, choose where it begins, and give it its first generation.

    What `change` leaves out is the serving generation's. Without a change, it must have begun before; if that was left
    unfinished, the same call finishes it.

    Raises:
        UsageError: it has begun otherwise, its name is another deployment's, or its proto cannot read the requests.
        SwapError: see `Client.swap`.

    """
    own = await settled(champion)
    shadow = own.named(name).model_copy(update={"control_topic": champion.control_topic})
    if name == own.deployment:
        raise UsageError(f"a shadow has a name of its own: {name} is the deployment that it is to shadow")
    history = await _history(shadow)
    if history and history.timeline.newest:
        _check_begun(history, own, change, beginning)
        return Begun(shadow, None)
    if change is None:
        raise UsageError(f"{name} has no generation yet: name what it is to try, by --package, --model or --proto")
    notes: tuple[str, ...] = ()
    change = await _whole(own, change)
    shadowed = None
    if not history or not history.timeline.shadowed:
        shadowed, notes = await _prepare(own, shadow, beginning)
    async with Client(shadow) as client:
        if shadowed:
            await client.shadow(shadowed)
        receipt = await client.swap(change)
    return Begun(shadow, receipt, (*notes, *receipt.notes))


async def _history(shadow: Settings) -> History | None:
    """Return the shadow's commands so far; None: it has no control topic."""
    async with Admin.connect(shadow) as admin:
        has_log = (await admin.counts([shadow.topics.control])).get(shadow.topics.control)
    return await read_history(shadow) if has_log else None


def _check_begun(history: History, champion: Settings, change: Change | None, beginning: Beginning) -> None:
    """Check that a deployment that has generations is such a shadow, and nothing else is asked of it."""
    name, shadowed = history.deployment, history.timeline.shadowed
    if shadowed is None or shadowed.of != champion.deployment:
        what = f"a shadow of {shadowed.of}" if shadowed else "a deployment of its own"
        raise UsageError(f"{name} is {what}: choose another name, with --name")
    if change is not None or not beginning.is_default:
        raise UsageError(
            f"{name} has begun, and what it answers stays: `hotswap swap {name}` has it try another model, and "
            f"`hotswap delete {name}` ends it, so that it can begin anew"
        )


async def _whole(champion: Settings, change: Change) -> Change:
    """Return the change with the parts of the generation that serves the champion where it has none."""
    serving = (await read_history(champion)).serving(await read_fleet(champion))
    if serving is None:
        raise UsageError(f"{champion.deployment} has no generation, so there is nothing to compare a shadow with")
    old, proto = serving.generation, change.proto
    if isinstance(proto, Path):
        proto = await protos.in_thread(read_proto, proto)
    if why := await Preparing(champion, Store(champion), None).incompatible(old.proto, proto):
        raise UsageError(f"the proto cannot read the requests of {champion.deployment}: {'; '.join(why)}")
    return replace(
        change,
        model=change.model or old.model,
        proto=proto or old.proto,
        configuration=change.configuration or old.configuration,
    )


async def _prepare(champion: Settings, shadow: Settings, beginning: Beginning) -> tuple[Shadowed, tuple[str, ...]]:
    """Create the topics, and commit where the shadow begins; return what it answers, and what to say of that."""
    requests = champion.topics.requests
    async with Admin.connect(champion) as admin:
        kept = await _kept(admin, champion, beginning.retention_s)
        placed = (await admin.placement([requests]))[requests]
        chosen, notes = await _partitions(admin, requests, beginning)
        starts = await _starts(admin, requests, beginning)
    async with Admin.connect(shadow) as admin:
        if clients := sorted((await admin.group(shadow.group_id)).members.values()):
            raise UsageError(f"group {shadow.group_id} has members ({', '.join(clients)}): choose another name")
        await admin.create_topics(placed.partitions, placed.copies, kept)
    await begin_at(shadow, starts)
    return Shadowed(champion.deployment, requests, Sampling(chosen, beginning.per_million)), notes


async def _kept(admin: Admin, champion: Settings, retention_s: float) -> Retained:
    """Return how the shadow's answers are kept: they may be as large as the champion's."""
    topics, least = champion.topics, Retained()
    limits = {
        topic: int(config["max.message.bytes"]) if config else 0
        for topic, config in (await admin.topic_settings([topics.predictions, topics.dead_letters])).items()
    }
    return Retained(
        round(retention_s * 1000),
        max(least.prediction_bytes, limits[topics.predictions]),
        max(least.dead_letter_bytes, limits[topics.dead_letters]),
    )


async def _partitions(admin: Admin, requests: str, beginning: Beginning) -> tuple[frozenset[int], tuple[str, ...]]:
    """Return the partitions of the sample, and which they are, for a person."""
    if beginning.partitions is None:
        return frozenset(), ()
    window = await read_window(admin, requests)
    chosen = canary(beginning.partitions, window)
    return chosen, (forecast(chosen, window, "the shadow"),)


async def _starts(admin: Admin, requests: str, beginning: Beginning) -> Mapping[int, int]:
    """Return each partition's first offset for the shadow."""
    ends = await admin.end_offsets(requests)
    if beginning.is_from_start:
        return {number: await admin.beginning_offset(requests, number) for number in ends}
    if beginning.since_s is None:
        return ends
    firsts = await admin.offsets_at(requests, ends, int(beginning.since_s * 1000))
    return {number: end if (first := firsts.get(number)) is None else first for number, end in ends.items()}
