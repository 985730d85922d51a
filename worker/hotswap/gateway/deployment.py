"""One deployment behind the gateway: its serving generation, requests and commands."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from starlette.requests import Request

from hotswap.batch import Code, Format, Headers
from hotswap.client.answers import ID_HEADER, Refused, SameHeaders
from hotswap.client.change import Receipt
from hotswap.client.client import Client
from hotswap.client.finding import new_token
from hotswap.client.fleet import FleetAnswer
from hotswap.client.seen import Seen
from hotswap.client.serving import Served, find_operation, follow_serving
from hotswap.codec.proto import Operation, Schema
from hotswap.errors import HotswapError, SwapCode, SwapError, UsageError, pause_before
from hotswap.gateway import rows
from hotswap.gateway.answered import Answered, Scored, places_of
from hotswap.gateway.desk import RequestRouter
from hotswap.gateway.problems import Problem
from hotswap.gateway.work import Work
from hotswap.renewing import Renewing
from hotswap.settings import Settings
from hotswap.trust.guard import Guard

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_SEEN_S = 10.0
_TURN_S = 0.2


class Encoded(Protocol):
    """Rows as serialized input messages."""

    @property
    def values(self) -> Sequence[bytes]:
        """The messages, in order."""


E = TypeVar("E", bound=Encoded)


class Deployment:
    """A deployment, for the endpoints."""

    def __init__(self, settings: Settings, *, most_waiting: int, timeout_s: float) -> None:
        self.name = settings.deployment
        self.settings = settings
        self.router = RequestRouter(settings, most_waiting)
        self._timeout_s = timeout_s
        self.seen = Seen.nothing(settings)
        self._served: Served | None = None
        self._changed = asyncio.Condition()
        self._following: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._rolling_out: set[asyncio.Task[None]] = set()
        self._renewing = Renewing(settings, lambda: self.seen.history.fold, "gateway.refolding")

    async def start(self) -> None:
        """Connect, and read the serving generation.

        Raises:
            StartError: no broker answers, or the deployment has no topics.
            Doubt: the broker did not answer in time.
            SwapError: the serving generation's proto cannot be fetched.

        """
        await self.router.start()
        following = follow_serving(self.settings, self.seen)
        self._served = await anext(following)
        self._following = asyncio.create_task(self._follow(following, self.seen))
        self._watching = asyncio.create_task(self._renew())

    async def stop(self) -> None:
        """Close the connections."""
        tasks = [task for task in (self._following, self._watching, *self._rolling_out) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.router.stop()

    def look(self) -> None:
        """Look now whether the trust file has changed."""
        self._renewing.look()

    @property
    def guard(self) -> Guard:
        """The rules for the next control record, by the current trust file."""
        return self.seen.history.fold.guard

    async def _renew(self) -> None:
        """Reload the trust file on changes; the state by the previous one holds until the new one is complete."""
        while True:
            await self._renewing.run()
            async with self._changed:
                await self._changed.wait_for(lambda: self.guard.pending is None)

    async def _follow(self, following: AsyncIterator[Served | None], seen: Seen) -> None:
        attempt = 0
        while True:
            try:
                async for served in following:
                    async with self._changed:
                        self._served, self.seen = served, seen
                        self._changed.notify_all()
                    attempt = 0
            except HotswapError as error:
                attempt += 1
                log.warning("gateway.watch_failed", extra={"deployment": self.name, "why": str(error)})
                await asyncio.sleep(pause_before(attempt, first=1.0, most=30.0))
            seen = self.seen.anew()
            following = follow_serving(self.settings, seen)

    @property
    def is_serving(self) -> bool:
        """Whether a generation serves, and its successors are followed."""
        return self._served is not None and self._following is not None and not self._following.done()

    @property
    def served(self) -> Served:
        """The serving proto and generation. Raises Problem: 503, there is none."""
        if self._served is None:
            held = self.seen.history.timeline.held
            detail = held or f"deployment {self.name} has no generation that serves: publish one"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=5)
        return self._served

    def operation(self, name: str | None) -> Operation:
        """Return an operation of the serving proto; None: the only one. Raises Problem: 404."""
        return operation_of(self.served.schema, name)

    async def ask(self, values: Sequence[bytes], headers: Headers, caller: str) -> list[Answered]:
        """Publish a request of a caller for each value, with these headers, and return the answers in order.

        The requests of a call have one token, of our making: so they share their headers, and are one caller's.

        Raises:
            Problem: 503, too many wait; 504, one has no answer in time: it may still be answered, and can be fetched
                by its id.

        """
        token = new_token()
        requests = SameHeaders(values, [*headers, (ID_HEADER, token.encode())])
        answered = await self.router.ask(requests, self._timeout_s, caller, token)
        if late := [one for one in answered if one.answer is None]:
            detail = (
                f"{len(late)} requests have no answer after {self._timeout_s:g} s; they may still be answered, and can "
                f"be fetched: GET /v1/{self.name}/predictions/ID, with an id of `prediction_ids`"
            )
            raise Problem(HTTPStatus.GATEWAY_TIMEOUT, detail, **places_of(late))
        return answered

    async def ask_rows(
        self,
        text: bytes,
        content: Format,
        operation: str | None,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        work: Work,
        is_whole: bool,
    ) -> Scored[rows.Rows]:
        """Publish each good row of a text, and return the rows, and the answers of the good ones.

        Raises:
            Problem: as `ask`; 422, `is_whole` and a row is bad: then nothing is published.

        """

        async def read(served: Served, target: Operation) -> rows.Rows:
            table = await rows.read(
                text, content, target, served.table(target), work, served.reads.get(target.name, ())
            )
            if is_whole:
                table.check()
            return table

        return await self.ask_encoded(operation, read, headers, work=work)

    async def ask_encoded(
        self,
        operation: str | None,
        encode: Callable[[Served, Operation], Awaitable[E]],
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        work: Work,
    ) -> Scored[E]:
        """Encode rows for the serving proto, publish them, and return them with their answers.

        If another proto takes over meanwhile, and its workers refuse the requests, encode them again.
        """
        give_up = time.monotonic() + self._timeout_s
        while time.monotonic() < give_up:
            served, target = self.served, self.operation(operation)
            encoded = await encode(served, target)
            sent = [("proto-digest", served.proto_sha256.encode()), ("operation", target.name.encode()), *headers]
            answered = await self.ask(encoded.values, sent, work.caller) if encoded.values else []
            if not any(isinstance(one.answer, Refused) and one.answer.code == Code.PROTO_MISMATCH for one in answered):
                return Scored(encoded, target, answered)
            await self._turn(served)
        detail = f"workers refuse the proto that serves, after {self._timeout_s:g} s still"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=1)

    async def _turn(self, before: Served) -> None:
        """Wait a little for something else to serve; some workers may be later than others."""
        await self._until(lambda: self._served is not before, _TURN_S)

    async def _until(self, holds: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with self._changed, asyncio.timeout(seconds):
                await self._changed.wait_for(holds)

    async def command(self, publish: Callable[[Client], Awaitable[Receipt]]) -> dict[str, Any]:
        """Publish a command, and return once the fleet has carried it out.

        One that comes second, after somebody else's command, is published again with the next number.

        Raises:
            Problem: it was refused or failed, with the reasons and what still serves.

        """
        async with Client(self.settings, self.guard.trust) as client:
            receipt = await _publish(client, publish)
            answer = await client.await_swap(receipt)
        if not answer.is_good:
            raise self._failed(receipt, answer)
        await self._until(lambda: self._has_seen(receipt, answer), _SEEN_S)
        return {"status": "ok", "generation": receipt.generation, "workers": sorted(answer.told)}

    async def publish(self, publish: Callable[[Client], Awaitable[Receipt]]) -> Receipt:
        """Publish a command as `command` does, and return once the control log has accepted it.

        Raises:
            SwapError: it was refused.

        """
        async with Client(self.settings, self.guard.trust) as client:
            receipt = await _publish(client, publish)
        if receipt.rollout:
            task = asyncio.create_task(self._roll_out(receipt), name=f"roll-out-{receipt.generation}")
            self._rolling_out.add(task)
            task.add_done_callback(self._rolling_out.discard)
        return receipt

    async def _roll_out(self, receipt: Receipt) -> None:
        """Promote what has been staged, once it is ready everywhere; if this process ends before, it remains staged."""
        facts = {"deployment": self.name, "generation": receipt.generation}

        def log_step(step: str) -> None:
            log.info("gateway.roll_out", extra={**facts, "step": step})

        try:
            async with Client(self.settings, self.guard.trust) as client:
                answer = await client.await_swap(receipt, on_step=log_step)
            log_step("done" if answer.is_good else "it did not become good")
        except HotswapError as error:
            log.warning("gateway.roll_out_failed", extra={**facts, "why": str(error)})

    @property
    def generation(self) -> int:
        """The number of the generation that serves; 0: none does."""
        generation = self._served.generation if self._served else None
        return generation.number if generation else 0

    def _has_seen(self, receipt: Receipt, answer: FleetAnswer) -> bool:
        """Return whether this gateway has seen the fleet's answer, too: its next calls show and use it."""
        outcomes = self.seen.fleet.told.get(receipt.command_id, {})
        is_final = all(worker in outcomes and outcomes[worker].is_final for worker in answer.told)
        if not receipt.generation or receipt.abandoned or receipt.partitions is not None:
            return is_final and any(one.command.command_id == receipt.command_id for one in self.seen.history.entries)
        return self.generation > receipt.generation or (self.generation == receipt.generation and is_final)

    def _failed(self, receipt: Receipt, answer: FleetAnswer) -> Problem:
        bad = {worker: outcome for worker, outcome in answer.told.items() if not outcome.is_good}
        facts: dict[str, Any] = {
            "generation": receipt.generation,
            "serving": self.generation,
            "workers": {worker: {"code": one.code, "message": one.message} for worker, one in bad.items()},
            "missing": list(answer.missing),
        }
        if answer.unconfirmed:
            detail = f"not confirmed in time: {answer.unconfirmed}"
            return Problem(HTTPStatus.GATEWAY_TIMEOUT, detail, **facts)
        if not bad:
            detail = f"{len(answer.missing)} workers have not answered in time; they may still carry it out"
            return Problem(HTTPStatus.GATEWAY_TIMEOUT, detail, **facts)
        first = next(iter(bad.values()))
        detail = f"{first.code}: {first.message}" if first.code else f"the command is {first.outcome.lower()}"
        return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, code=first.code, **facts)


def deployment_of(request: Request, deployments: Mapping[str, Deployment], of: str = "gateway") -> Deployment:
    """Return the deployment that a call's path names. Raises Problem: 404, it is not one of these."""
    name = request.path_params["deployment"]
    if name not in deployments:
        detail = f"this {of} has no deployment {name!r}: it has {', '.join(deployments)}"
        raise Problem(HTTPStatus.NOT_FOUND, detail)
    return deployments[name]


async def _publish(client: Client, publish: Callable[[Client], Awaitable[Receipt]]) -> Receipt:
    for _ in range(_ATTEMPTS - 1):
        try:
            return await publish(client)
        except SwapError as error:
            if error.code is not SwapCode.STALE:
                raise
    return await publish(client)


def operation_of(schema: Schema, name: str | None) -> Operation:
    """Return an operation of a proto; None: the only one. Raises Problem: 404, with those that there are."""
    try:
        return find_operation(schema, name, "by the parameter `operation`")
    except UsageError as error:
        raise Problem(HTTPStatus.NOT_FOUND, str(error)) from None
