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
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Self

from hotswap.artifacts.store import Store
from hotswap.client import overview
from hotswap.client.answers import PAUSE_S, Answers, Flow, Outgoing, Place, Prediction, Refused
from hotswap.client.change import Change, Receipt, Rollout
from hotswap.client.commanding import check_trust, write_command
from hotswap.client.cut import Cut
from hotswap.client.fleet import FleetAnswer, Told
from hotswap.client.loadable import check_kind
from hotswap.client.preparing import CutOver, Known, Preparing
from hotswap.errors import NoAnswer, StartError, SwapError
from hotswap.kafka.client.acls import Right
from hotswap.kafka.client.connection import needing
from hotswap.kafka.topics.admin import Admin
from hotswap.kafka.topics.control_topic import settled, shadows
from hotswap.kafka.topics.writer import LogWriter
from hotswap.settings import Settings
from hotswap.swap.command import (
    Command,
    Outcome,
    PauseCommand,
    ShadowCommand,
    SkipCommand,
    TrustCommand,
)
from hotswap.swap.sample import Shadowed
from hotswap.trust.file import Trust
from hotswap.trust.keys import Signer

_WINDOW = 1_000


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
        self._preparing = Preparing(settings, self._store, self._signer)
        self._requests = settings.topics.requests
        self._has_topic = self._is_settled = False

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
            StartError: the deployment's requests topic does not exist, or it is a shadow, which has none of its own.
            Doubt: Kafka did not answer in time; some may have been published.

        """
        from hotswap.client.publishing import publish  # noqa: PLC0415 - a command publishes none

        with needing(self._settings, Right("Write", "topic", self._requests)):
            try:
                await self._check_topic()
            except StartError:
                await self._check_topics()
        if self._settings.topics.requests != self._requests:
            raise StartError(shadows(self._settings))
        return await publish(self._writer, self._requests, requests)

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
                    from hotswap.client.following import unanswered  # noqa: PLC0415 - an error alone needs it

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
            UsageError: a file is missing, nothing would change, the samples are too large for a command, golden answers
                do not fit or need a choice (golden.py), or the generation is to come to its partitions in a way that is
                not possible here.
            StartError: the deployment's requests topic does not exist; nothing is uploaded or written. Other commands
                raise this, too.

        """
        await self._check_topics()
        parts = await self._preparing.parts(change)
        command, cut_over = await self._preparing.swap(await self._know(), change, parts)
        return _with(await self._command(command), cut_over)

    async def rollback(self, to: int | None = None, *, cut: Cut = Cut.AUTO, rollout: Rollout | None = None) -> Receipt:
        """Publish a new generation with the parts of `to`; None: those of the generation that served before.

        Raises:
            SwapError: the command was refused (STALE, UNKNOWN_BASE). KIND_MISSING: as for `swap`.
            UsageError: no earlier generation is known to have served: no partition has cut over to one.

        """
        from hotswap.client.rolling_back import rollback_command, target_of  # noqa: PLC0415 - a rollback alone needs it

        known = await self._know()
        target = await target_of(self._settings, known, to)
        if target.swap:
            check_kind(target.swap.generation.model.kind, known.fleet.workers.values(), time.time())
        cut_over = await self._preparing.cut_over(known, target.proto, cut, rollout)
        return _with(await self._command(rollback_command(known, target, cut_over)), cut_over)

    async def promote(
        self,
        generation: int | None = None,
        partitions: Collection[int] | None = None,
        at_s: float | None = None,
        *,
        changing_over: Callable[[], AbstractAsyncContextManager[None]] | None = None,
    ) -> Receipt:
        """Cut the staged generation over on these partitions, or on all that are left.

        Where its proto is incompatible, publishers have to change over at the cut: they do so in `changing_over`, which
        is entered right before the cut is taken, and left once all workers know it. What is published in between
        may be decoded by either proto. `at_s`: each partition at its first request of this time, in seconds since the
        epoch, which has not been answered.

        Raises:
            SwapError: the command was refused: STALE, since another one came first, or EXPIRED, since it was staged too
                long ago.
            UsageError: none is staged, or its proto wants all partitions at once. NotReady: a live worker is not ready.

        """
        from hotswap.client.promoting import Promotion  # noqa: PLC0415 - most swaps are made in one step

        command, at_ends = await self._preparing.promotion(await self._know(), generation, partitions)
        async with Promotion(self._settings, command, at_ends, at_s, changing_over) as promotion:
            receipt = await self._command(command, promotion.complete)
            await promotion.known()
        return replace(receipt, cut=promotion.cut, partitions=None if partitions is None else frozenset(partitions))

    async def abandon(self, generation: int | None = None) -> Receipt:
        """End the staged or half promoted generation: the partitions that it has go back, as a new generation.

        Raises:
            SwapError: the command was refused: STALE, since another one came first.
            UsageError: none is staged, or nothing serves beside it.

        """
        command = await self._preparing.abandonment(await self._know(), generation)
        return replace(await self._command(command), abandoned=command.abandoned)

    async def shadow(self, shadowed: Shadowed) -> Receipt:
        """Make the deployment, which has no generation yet, a shadow of another one.

        Raises:
            SwapError: STALE, it has a generation, or is a shadow.

        """
        return await self._command(ShadowCommand(command_id=str(uuid.uuid4()), shadowed=shadowed))

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
        from hotswap.client.following import follow  # noqa: PLC0415 - not every publisher waits

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
        on_step: Callable[[str], None] = lambda _: None,
        changing_over: Callable[[], AbstractAsyncContextManager[None]] | None = None,
    ) -> FleetAnswer:
        """Return the fleet's answer to any command, once every live worker's outcome is final or time is up.

        The fleet is every worker that has reported within `fleet.FRESH_S` and has not stopped. `timeout_s` None: the
        swap's own deadline and a little more. `on_held_up` is called if requests before the cut delay it (behind.py).
        That a generation serves counts once the committed offsets name it (confirming.py). A staged one is promoted
        here (rolling_out.py): `on_step` is called with what has been done, `timeout_s` is for each step, and
        `changing_over` as for `promote`.
        Raises NoAnswer if there is no worker at all.
        """
        if receipt.rollout is None:
            return await self._await(receipt, timeout_s, on_told, on_held_up)
        from hotswap.client.rolling_out import roll_out  # noqa: PLC0415 - most swaps are made in one step

        promote = partial(self.promote, changing_over=changing_over)
        follow = partial(self._await, timeout_s=timeout_s, on_told=on_told, on_held_up=on_held_up)
        return await roll_out(receipt, promote, self.abandon, follow, on_step)

    async def _await(
        self,
        receipt: Receipt,
        timeout_s: float | None,
        on_told: Callable[[Told], None],
        on_held_up: Callable[[str], None],
    ) -> FleetAnswer:
        from hotswap.client.following import follow  # noqa: PLC0415 - not every publisher waits

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

    async def _command(self, command: Command, complete: Callable[[], Awaitable[Command]] | None = None) -> Receipt:
        await self._check_topics()
        verdict = await write_command(self._settings, self._writer, command, self._signer, self._trust, complete)
        if verdict.outcome is Outcome.REFUSED:
            assert verdict.code, "a refusal has a code"
            raise SwapError(verdict.code, verdict.message)
        number = getattr(command, "generation", 0)
        deadline_ms = getattr(command, "deadline_ms", None) or self._settings.swap_deadline_ms
        return Receipt(command.command_id, number, getattr(command, "cut", {}), deadline_ms / 1000)

    async def _check_topic(self) -> None:
        """Raise StartError if the requests topic does not exist: a command for such a name could not be undone."""
        if not self._has_topic:
            async with Admin.connect(self._settings) as admin:
                self._has_topic = await admin.partitions(self._settings.topics.requests) > 0

    async def _check_topics(self) -> None:
        """Find the deployment's topics; see `settled` and `_check_topic`."""
        if not self._is_settled:
            self._settings = await settled(self._settings)
            self._preparing = Preparing(self._settings, self._store, self._signer)
            self._is_settled = True
        await self._check_topic()

    async def _know(self) -> Known:
        await self._check_topics()
        return await self._preparing.know(await overview.read_history(self._settings, self._trust))


def _with(receipt: Receipt, cut_over: CutOver) -> Receipt:
    return replace(
        receipt, incompatible=cut_over.why, rollout=cut_over.rollout, steps=cut_over.steps, notes=cut_over.notes
    )
