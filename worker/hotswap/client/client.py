"""The client for a pipeline or a trainer: publish requests and await answers, swap a model and await the fleet.

    async with Client(Settings(deployment="churn")) as client:
        async for answer in client.predict(Outgoing(message.SerializeToString()) for message in messages):
            ...  # a Prediction or a Refused, in the order of the requests
        receipt = await client.swap(Change(model=Path("better.zip")))
        answer = await client.await_swap(receipt)
        if not answer.is_good:
            ...  # answer.told has each worker's outcome and reason

A client reads without a consumer group, so it never disturbs the workers or another client.
"""

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePath
from types import TracebackType
from typing import Self

from hotswap.artifacts.detect import as_file, find_model
from hotswap.artifacts.places import without_secrets
from hotswap.artifacts.store import Store
from hotswap.client import overview, protos
from hotswap.client.answers import PAUSE_S, Answers, Flow, Outgoing, Place, Prediction, Refused
from hotswap.client.change import (
    MAX_INLINE_PROTO_BYTES,
    MAX_SAMPLES_BYTES,
    Change,
    Receipt,
    compile_file,
    read_proto,
)
from hotswap.client.commanding import check_trust, write_command
from hotswap.client.cut import Cut
from hotswap.client.fleet import Fleet, FleetAnswer, Told
from hotswap.client.following import follow, unanswered
from hotswap.client.history import History
from hotswap.client.loadable import check_kind
from hotswap.client.offsets import generations, read_offsets
from hotswap.errors import NoAnswer, SwapError, UsageError
from hotswap.generation import Golden, Model, Proto
from hotswap.kafka.client.acls import Right
from hotswap.kafka.client.connection import needing
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.writer import LogWriter
from hotswap.settings import Settings
from hotswap.swap.command import (
    Command,
    Outcome,
    PauseCommand,
    RollbackCommand,
    SkipCommand,
    SwapCommand,
    TrustCommand,
    out_of_reach,
)
from hotswap.swap.timeline import Swap
from hotswap.trust.file import Trust
from hotswap.trust.keys import Signer

_WINDOW = 1_000
_FAR = 1_000_000


class Client:
    """The client of one deployment; use it in an `async with` block, from one event loop.

    It verifies the commands of the log by `trust`, or else by the file that the settings name. Raises UsageError if the
    key that `sign_with` names cannot be read.
    """

    def __init__(self, settings: Settings, trust: Trust | None = None) -> None:
        self._settings = settings
        self._trust = trust
        self._store = Store(settings)
        self._writer = LogWriter(settings)
        self._signer = Signer.read(settings.sign_with) if settings.sign_with else None
        self._has_topic = False

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            StartError: no broker answers.

        """
        try:
            await self._writer.start()
        except BaseException:
            await self._writer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.stop()

    async def publish(self, requests: Iterable[Outgoing]) -> Sequence[Place]:
        """Publish requests, some thousands at a time, and return the place of each one once all are acknowledged.

        Raises:
            StartError: the deployment's requests topic does not exist.
            Doubt: Kafka did not answer in time; some may have been published.

        """
        from hotswap.client.publishing import publish  # noqa: PLC0415 - a command publishes none

        with needing(self._settings, Right("Write", "topic", self._settings.topics.requests)):
            await self._check_topic()
        return await publish(self._writer, self._settings.topics.requests, requests)

    async def predict(
        self,
        requests: Iterable[Outgoing],
        *,
        window: int = _WINDOW,
        per_second: float | None = None,
        timeout_s: float = 60.0,
    ) -> AsyncGenerator[Prediction | Refused, None]:
        """Publish requests and yield their answers in the same order, with at most `window` of them in flight.

        Raises:
            NoAnswer: no answer arrived for `timeout_s`.

        """
        source, flow = iter(requests), Flow(window, per_second)
        async with Answers.from_now_on(self._settings) as answers:
            is_open, last = True, time.monotonic()
            while is_open or flow.waiting:
                if is_open and (room := flow.room()):
                    chunk = list(islice(source, room))
                    is_open = len(chunk) == room
                    flow.sent(await self.publish(chunk))
                for answer in await answers.read(PAUSE_S if flow.is_full or not is_open else flow.pause_s()):
                    flow.answered(answer)
                ready = flow.take()
                if ready or not flow.waiting:
                    last = time.monotonic()
                elif time.monotonic() - last > timeout_s:
                    what = f"{flow.waiting} requests have no answer after {timeout_s:g} s"
                    raise NoAnswer(await unanswered(self._settings, what))
                for answer in ready:
                    yield answer

    async def swap(self, change: Change) -> Receipt:
        """Publish a swap and read it back from the control log: the first command with a number wins.

        Raises:
            SwapError: the command was refused (STALE if another swap came first; the message names the next number),
                the proto does not compile, or the model cannot be uploaded. OUT_OF_RANGE: the number would leave too
                few above it. KIND_MISSING: a live worker cannot load this kind of model; nothing was written.
            UsageError: a file is missing, nothing would change, the samples are too large for a command, or golden
                answers do not fit or need a choice (golden.py).
            StartError: the deployment's requests topic does not exist; nothing is uploaded or written. Other commands
                raise this, too.

        """
        await self._check_topic()
        if not (change.model or change.proto or change.configuration or change.base or change.golden):
            raise UsageError("nothing would change: name a model, a proto, a configuration or a base")
        proto = change.proto
        if isinstance(proto, Path):
            await protos.in_thread(compile_file, proto)
            proto = await protos.in_thread(read_proto, proto)
        if (size := sum(map(len, change.samples))) > MAX_SAMPLES_BYTES:
            most = MAX_SAMPLES_BYTES >> 10
            raise UsageError(f"the samples take {size:,} bytes, and a command holds {most} KiB: take fewer rows")
        stored = await self._stored(proto) if proto else None
        model = await self._upload(change.model, change.kind) if isinstance(change.model, Path) else change.model
        model = model and replace(model, name=change.name or model.name or PurePath(without_secrets(model.uri)).stem)
        history, fleet, scored = await self._read()
        serving = history.serving(fleet, scored)
        base = change.base or (serving.number if serving else 0)
        inherited = history.timeline.swaps.get(base)
        if part := model or (inherited.generation.model if inherited else None):
            check_kind(part.kind, fleet.workers.values(), time.time())
        successor = proto or (inherited.generation.proto if inherited else None)
        cut, why = await self._cut(change.cut, serving.generation.proto if serving else None, successor)
        command = SwapCommand(
            command_id=str(uuid.uuid4()),
            generation=change.generation or _next_number(history, fleet, scored),
            base=base,
            model=model,
            proto=stored,
            configuration=change.configuration,
            samples=change.samples,
            cut=cut,
            deadline_ms=change.deadline_ms,
            golden=await self._golden(change, inherited, successor, fleet),
        )
        return await self._command(command, why)

    async def rollback(self, to: int | None = None, *, cut: Cut = Cut.AUTO) -> Receipt:
        """Publish a new generation with the parts of `to`; None: those of the generation that served before.

        Raises:
            SwapError: the command was refused (STALE, UNKNOWN_BASE). KIND_MISSING: as for `swap`.
            UsageError: no earlier generation is known to have served: no partition has cut over to one.

        """
        from hotswap.client.cut_overs import read_cut_overs  # noqa: PLC0415 - a rollback alone needs it

        history, fleet, scored = await self._read()
        serving = history.serving(fleet, scored)
        served = frozenset() if to else scored | set(await read_cut_overs(self._settings))
        target = history.timeline.swaps.get(to) if to else history.before(fleet, scored, served)
        if target:
            check_kind(target.generation.model.kind, fleet.workers.values(), time.time())
        old = serving.generation.proto if serving else None
        offsets, why = await self._cut(cut, old, target.generation.proto if target else None)
        number = target.number if target else to or 0
        generation = _next_number(history, fleet, scored)
        command = RollbackCommand(command_id=str(uuid.uuid4()), generation=generation, to=number, cut=offsets)
        return await self._command(command, why)

    async def pause(self) -> Receipt:
        """Pause the deployment: no partition takes another batch until `resume`."""
        return await self._command(PauseCommand(command_id=str(uuid.uuid4()), is_paused=True))

    async def resume(self) -> Receipt:
        """End a pause."""
        return await self._command(PauseCommand(command_id=str(uuid.uuid4()), is_paused=False))

    async def skip(self, partition: int, offset: int) -> Receipt:
        """Skip the damaged batch at this offset of the requests: each of its requests is refused."""
        return await self._command(SkipCommand(command_id=str(uuid.uuid4()), partition=partition, offset=offset))

    async def trust(self, revoked: Sequence[str] = ()) -> Receipt:
        """Require signed commands from here on, and revoke keys by their ids. This cannot be undone.

        Raises:
            SwapError: the key that signs may not command this.
            UsageError: no signing key is set, no trust file has it or `revoked`, or a live worker lacks that file.
            StartError: the control topic has its publishers' timestamps.

        """
        await check_trust(self._settings, self._signer, revoked)
        return await self._command(TrustCommand(command_id=str(uuid.uuid4()), revoked=tuple(revoked)))

    async def outcomes(self, receipt: Receipt, *, timeout_s: float | None = None) -> AsyncGenerator[Told, None]:
        """Yield each worker's reports on the command as they arrive, until all are final or time is up.

        Raises:
            NoAnswer: no live worker has reported.

        """
        async with aclosing(follow(self._settings, receipt, timeout_s)) as steps:
            async for outcome, _ in steps:
                if outcome:
                    yield outcome

    async def await_swap(
        self,
        receipt: Receipt,
        timeout_s: float | None = None,
        *,
        on_told: Callable[[Told], None] = lambda _: None,
        on_held_up: Callable[[str], None] = lambda _: None,
    ) -> FleetAnswer:
        """Return the fleet's answer to any command, once every live worker's outcome is final or time is up.

        The fleet is every worker that has reported within `fleet.FRESH_S` and has not stopped. `timeout_s` None: the
        swap's own deadline and a little more. `on_held_up` is called if requests before the cut delay it (behind.py).
        That a generation serves counts once the committed offsets name it (confirming.py).
        Raises NoAnswer if there is no worker at all.
        """
        last = FleetAnswer({}, ())
        async with aclosing(follow(self._settings, receipt, timeout_s, on_held_up)) as steps:
            async for outcome, answer in steps:
                last = answer
                if outcome:
                    on_told(outcome)
        return last

    async def status(self) -> overview.Overview:
        """Return the workers' generations, the lag, and the outcomes of the last commands."""
        return await overview.overview(self._settings)

    async def _command(self, command: Command, why: Iterable[str] = ()) -> Receipt:
        await self._check_topic()
        verdict = await write_command(self._settings, self._writer, command, self._signer, self._trust)
        if verdict.outcome is Outcome.REFUSED:
            assert verdict.code, "a refusal has a code"
            raise SwapError(verdict.code, verdict.message)
        number = getattr(command, "generation", 0)
        deadline_ms = getattr(command, "deadline_ms", None) or self._settings.swap_deadline_ms
        return Receipt(command.command_id, number, getattr(command, "cut", {}), deadline_ms / 1000, tuple(why))

    async def _check_topic(self) -> None:
        """Raise StartError if the requests topic does not exist: a command for such a name could not be undone."""
        if not self._has_topic:
            async with Admin.connect(self._settings) as admin:
                self._has_topic = await admin.partitions(self._settings.topics.requests) > 0

    async def _read(self) -> tuple[History, Fleet, frozenset[int]]:
        await self._check_topic()
        settings = self._settings
        history, fleet = await overview.read_history(settings, self._trust), await overview.read_fleet(settings)
        return history, fleet, generations(await read_offsets(settings))

    async def _upload(self, path: Path, kind: str | None) -> Model:
        model, kind = find_model(path, kind)
        with as_file(model) as file:
            uri, sha256 = await self._store.upload(file)
        return Model(uri, sha256, kind, path.stem.encode(errors="replace").decode())

    async def _stored(self, proto: Proto) -> Proto:
        """Return the proto as a command carries it: inline if it is small, otherwise by its place in the store."""
        is_small = proto.source is None or len(proto.source) <= MAX_INLINE_PROTO_BYTES
        return proto if is_small else await self._store.upload_proto(proto)

    async def _golden(self, change: Change, base: Swap | None, proto: Proto | None, fleet: Fleet) -> Golden | None:
        if not (change.golden or change.golden_tolerances or (base and base.generation.golden)):
            return None
        from hotswap.client.golden import golden_of  # noqa: PLC0415 - few swaps have golden answers

        return await golden_of(change, base, proto, fleet, self._store)

    async def _cut(self, cut: Cut, old: Proto | None, new: Proto | None) -> tuple[Mapping[int, int], list[str]]:
        from hotswap.codec.compatibility import incompatibilities  # noqa: PLC0415 - a swap of a proto alone needs it

        why: list[str] = []
        if cut is Cut.AUTO and old and new and old.sha256 != new.sha256:
            before, after = [
                await protos.compile(await self._store.fetch_proto(proto), proto.is_descriptor_set)
                for proto in (old, new)
            ]
            why = incompatibilities(before, after)
        if cut is Cut.AFTER_BACKLOG or why:
            async with Admin.connect(self._settings) as admin:
                # The high watermark, not the last stable offset: a request in an open transaction precedes the swap.
                return await admin.end_offsets(self._settings.topics.requests), why
        return {}, why


def _next_number(history: History, fleet: Fleet, scored: Collection[int]) -> int:
    # Above what the offsets and the workers name, too: a control topic that was emptied does not know which numbers
    # were used. But anybody may report one: a number far ahead, or without room above it, does not count.
    newest = history.timeline.newest
    used = max({newest, *scored})
    if fleet.newest <= used + _FAR:
        used = max(used, fleet.newest)
    return newest + 1 if out_of_reach(used + 1, newest) else used + 1
