"""The examination of a deployment: its cluster, topics, settings and workers, with advice for each finding."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from time import time

from hotswap.artifacts.places import address_of
from hotswap.client import hanging
from hotswap.client.findings import Finding, Level
from hotswap.client.hanging import TRANSACTIONS
from hotswap.client.needed import ArtifactState, Needed, absences
from hotswap.client.overview import Overview, overview
from hotswap.client.stored import look
from hotswap.errors import Doubt, StartError, SwapError, what_to_do
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import SHARED, settled
from hotswap.kafka.topics.topics import COPIES, Placement
from hotswap.kafka.transactions.open_transactions import look as look_for_open
from hotswap.kafka.wire.brokers import Brokers
from hotswap.settings import Settings, unknown_variables
from hotswap.swap.timeline import Swap

KAFKA = "kafka"
"""A fault about this ends the examination: Kafka, or a requested topic, is out of reach."""

_MOST_PLACES = 20
_MOST_NUMBERS = 5
_IN_SYNC = 2


_SHARES = Finding(
    Level.ADVICE,
    SHARED,
    "deployments share this control topic: users who may command one may command all, unless commands are signed",
    "new deployments have their own; this one stays where its history is (`hotswap move` would begin anew)",
)


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield the findings, dependencies first; nothing is changed."""
    for finding in _variables():
        yield finding
    try:
        settings = await settled(settings)
        async with Admin.connect(settings) as admin:
            brokers = await admin.brokers()
            yield Finding(Level.OK, KAFKA, f"{brokers} brokers at {settings.kafka}")
            missing = await admin.missing_rights()
            for right in missing:
                what = f"this user may not {right.operation} it, as a worker does"
                advice = f"grant it to the workers' user, if that is this one (`hotswap acls {settings.deployment}`)"
                yield Finding(Level.WARNING, right.resource, what, advice)
            if not missing:
                yield Finding(Level.OK, "acls", "this user has all rights of a worker")
            faults = await admin.topic_faults()
            for fault in faults:
                what, advice = what_to_do(fault)
                yield Finding(Level.FAULT, "topics", what, advice)
            if not faults:
                yield Finding(Level.OK, "topics", "all five exist and fit each other")
            for finding in await _topics(settings, admin, brokers):
                yield finding
            await admin.group(settings.group_id)
            yield Finding(Level.OK, "group", f"the coordinator of {settings.group_id} answers")
            placed = await admin.placement(settings.topics)
        for finding in await _transactions(settings, placed):
            yield finding
        seen = await overview(settings)
    except (StartError, Doubt) as error:
        what, advice = what_to_do(str(error))
        yield Finding(Level.FAULT, KAFKA, what, advice)
        return
    artifacts = await _artifacts(settings, seen.needed)
    is_lost = any(one.level is Level.WARNING for one in artifacts)
    stores = [one for one in _stores(settings, seen.swaps) if one.level is not Level.OK or not is_lost]
    for finding in (*_signatures(seen), *stores, *artifacts, *_fleet(seen)):
        yield finding


def _variables() -> Iterator[Finding]:
    for name, meant in unknown_variables().items():
        advice = f"set {meant} instead" if meant else "unset it, unless a newer version on this machine needs it"
        yield Finding(Level.WARNING, "settings", f"{name} is no setting of this version", advice)


async def _topics(settings: Settings, admin: Admin, brokers: int) -> list[Finding]:
    placed = await admin.placement(settings.topics)
    configs = await admin.topic_settings(placed)
    each = [finding for name in placed for finding in _topic(settings, name, configs[name], placed[name], brokers)]
    return each + [_SHARES] * (settings.topics.control == SHARED)


def _topic(
    settings: Settings, name: str, config: Mapping[str, str] | None, placed: Placement, brokers: int
) -> Iterator[Finding]:
    """Yield the settings of a topic that may lose records, or let it grow without bound."""
    findings = list(_copies(name, config, placed, brokers))
    if config is None:
        findings.append(
            Finding(
                Level.WARNING, name, "its settings may not be read", "grant DescribeConfigs on the topic to this user"
            )
        )
    elif name == settings.topics.control:
        findings += _control(name, config)
    elif name in settings.topics[:3] and "compact" in config["cleanup.policy"]:
        what = "is compacted: it keeps the last record of each key, read or not, and takes none without a key"
        findings.append(Finding(Level.WARNING, name, what, "set its cleanup.policy to delete"))
    elif name == settings.topics.status and "compact" not in config["cleanup.policy"]:
        advice = "set its cleanup.policy to compact"
        findings.append(Finding(Level.WARNING, name, "is not compacted: it grows, or forgets workers", advice))
    yield from findings or [Finding(Level.OK, name, f"{placed.partitions} partitions, {placed.copies} copies of each")]


def _copies(name: str, config: Mapping[str, str] | None, placed: Placement, brokers: int) -> Iterator[Finding]:
    if placed.behind:
        yield Finding(
            Level.WARNING, name, f"{placed.behind} partitions have copies that are behind", "check the brokers"
        )
    if placed.copies < COPIES:
        what = f"has {placed.copies} of {COPIES} copies: acknowledged records can be lost with a broker"
        advice = f"add copies, with kafka-reassign-partitions.sh{'' if brokers >= COPIES else ', and brokers'}"
        yield Finding(Level.WARNING, name, what, advice)
    elif config and int(config["min.insync.replicas"]) < _IN_SYNC:
        advice = f"set its min.insync.replicas to {_IN_SYNC}"
        yield Finding(Level.WARNING, name, "acknowledges records that only one broker has", advice)


def _control(name: str, config: Mapping[str, str]) -> Iterator[Finding]:
    if "compact" in config["cleanup.policy"]:
        advice = "set its cleanup.policy to delete: the first command with a number wins, and compaction keeps the last"
        yield Finding(Level.FAULT, name, "is compacted, which rewrites the history of commands", advice)
    if (config["retention.ms"], config["retention.bytes"]) != ("-1", "-1"):
        advice = "set its retention.ms and retention.bytes to -1"
        yield Finding(Level.FAULT, name, "forgets commands: a worker that starts later lacks them", advice)
    if config["message.timestamp.type"] != "LogAppendTime":
        advice = "set its message.timestamp.type to LogAppendTime"
        yield Finding(
            Level.WARNING, name, "has its publishers' timestamps, so their clocks decide about expiry", advice
        )


async def _transactions(settings: Settings, placed: Mapping[str, Placement]) -> list[Finding]:
    """Return the version of transactions in use, and the hanging ones in the topics that exist."""
    partitions = [(topic, number) for topic, place in placed.items() for number in range(place.partitions)]
    async with Brokers.connect(settings) as brokers:
        await brokers.watch()
        version = _version(settings, brokers.transaction_version)
        try:
            seen = await look_for_open(settings, brokers, partitions)
        except Doubt as doubt:
            why = f"cannot be checked ({doubt})"
            return [version, Finding(Level.WARNING, TRANSACTIONS, why, "check the brokers, and run doctor again")]
    return [version, *hanging.findings(settings, seen, int(time() * 1_000))]


def _version(settings: Settings, version: int) -> Finding:
    """Return a finding about the cluster's version of transactions."""
    if version > 1:
        return Finding(Level.OK, TRANSACTIONS, f"version {version}: a late copy of an ended transaction is refused")
    what = "version 1: a commit takes more steps, and a network that repeats a request can lose answers"
    command = f"kafka-features.sh --bootstrap-server {settings.kafka} upgrade --feature transaction.version=2"
    return Finding(Level.ADVICE, TRANSACTIONS, what, f"on Kafka 4, `{command}`; workers need no restart")


def _signatures(view: Overview) -> Iterator[Finding]:
    """Yield whether commands must be signed, unless `findings_of` reports a fault of that."""
    if view.signed_since is None:
        what = f"commands need none: each user with Write on {view.control} commands this deployment"
        advice = f"restrict that by ACLs, or see `hotswap keys require {view.deployment}`"
        yield Finding(Level.ADVICE, "signatures", what, advice)
    elif all(worker.trust_sha256 for worker in view.live):
        what = f"commands must be signed since offset {view.signed_since} of {view.control}"
        yield Finding(Level.OK, "signatures", what)


def _stores(settings: Settings, swaps: Iterable[Swap]) -> Iterator[Finding]:
    """Yield the artifacts that these settings deny to a worker, newest first, with the generations that need them."""
    outside: dict[str, list[int]] = {}
    for swap in reversed(list(swaps)):
        for uri in filter(None, (swap.generation.model.uri, swap.generation.proto.uri)):
            try:
                address_of(uri, settings.stores)
            except SwapError as denied:
                outside.setdefault(denied.message, []).append(swap.number)
    for message, numbers in list(outside.items())[:_MOST_PLACES]:
        what, _, advice = message.partition("): ")
        more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
        whose = f"generation {', '.join(map(str, numbers[:_MOST_NUMBERS]))}{more}"
        advice += "; a worker that has it in its cache needs neither. Run doctor with the workers' settings"
        yield Finding(Level.WARNING, "stores", f"{whose}: {what})", advice)
    if (left := len(outside) - _MOST_PLACES) > 0:
        yield Finding(Level.WARNING, "stores", f"{left} more artifacts of older generations lie outside", "as above")
    if not outside:
        yield Finding(Level.OK, "stores", "the generations' artifacts are in the allowed stores")


async def _artifacts(settings: Settings, needed: Sequence[Needed]) -> list[Finding]:
    """Return the artifacts for a worker or a rollback that their stores lack; the oldest are not looked for."""
    looked = await look(settings, needed[:_MOST_PLACES])
    wrong = [
        Finding(Level.WARNING, "artifacts", what, advice) for what, advice in absences(settings.deployment, looked)
    ]
    if left := len(needed) - len(looked):
        what = f"{left} more artifacts of older generations were not looked for"
        wrong.append(Finding(Level.ADVICE, "artifacts", what, f"see `hotswap store verify {settings.deployment}`"))
    there = sum(state is ArtifactState.THERE for state, _ in looked.values())
    return [*wrong, Finding(Level.OK, "artifacts", f"{there} of {len(looked)} that are needed are in their stores")]


def _fleet(view: Overview) -> Iterator[Finding]:
    """Yield the findings that `hotswap status` shows, too, and each worker's machine."""
    for finding in view.findings:
        if finding.about == "topics":  # reported already
            continue
        advice = finding.advice or f"see `hotswap status {view.deployment}`"
        yield replace(finding, what=finding.what.splitlines()[0], advice=advice)
    for worker in view.live:
        machine = "; ".join(f"{name} {value}" for name, value in sorted(worker.machine.items()))
        loaded = f"serves generation {worker.generation}" if worker.generation else "serves no generation yet"
        yield Finding(Level.OK, worker.worker, f"{loaded}{'; ' if machine else ''}{machine}")
