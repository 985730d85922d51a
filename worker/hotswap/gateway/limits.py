"""How much a gateway takes on at a time, of all callers and of each."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from hotswap.client import protos
from hotswap.codec.proto import Schema
from hotswap.gateway.callers import Caller
from hotswap.gateway.converter import LARGE
from hotswap.gateway.converters import Converters
from hotswap.gateway.leaving import while_there
from hotswap.gateway.problems import Problem
from hotswap.gateway.turns import Turns, add_to
from hotswap.gateway.work import Work

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]

CALLS = 1_024
"""The most calls of one caller that are in hand: half of the connections that a server has."""
_SLACK_BYTES = 64 << 10
_CODE_FREE = frozenset({"h2o", "lightgbm", "onnx", "xgboost"})
_PLACES = 3
"""How many bodies are read or written at a time; on more processes, the event loop would get its turns too late."""
_OF_ONE = 2
_PROTOS = protos.AT_ONCE - 1
"""How many protos of callers' own are compiled at a time, one of each caller: the last place is for what serves."""
_FREE_BYTES = 64 << 10
_OF_CALLER, _OF_ALL = 2, 8
"""How many of the largest bodies may be in hand, of one caller and of all."""


def caller_of(request: Request) -> str:
    """Return the caller's name, or else its address."""
    caller: Caller | None = request.scope.get("caller")
    if caller and caller.name:
        return caller.name
    peer: str = request.scope.get("state", {}).get("peer", "")
    return peer


class Held:
    """The bytes of bodies that are in memory, of each caller and of all. Small ones are free: calls are bounded."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._of = Counter[str]()

    @contextmanager
    def by(self, caller: str) -> Iterator[Callable[[int], None]]:
        """Yield a function that reserves bytes for a call, until it ends.

        Raises:
            Problem: 429, the bodies of this caller are too large together; 503, those of all callers are.

        """
        size = 0

        def hold(more: int) -> None:
            nonlocal size
            more = min(more, self._largest - size)  # a form of artifacts counts as a largest body: its rest is on disk
            size += more
            self._of[caller] += more
            if size <= _FREE_BYTES:
                return
            if self._of[caller] > _OF_CALLER * self._largest:
                detail = "the bodies of this caller's calls are too large together: send fewer at a time"
                raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=2)
            if self._of.total() > _OF_ALL * self._largest:
                detail = "the bodies of all calls are too large together: try again soon"
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_after_s=2)

        try:
            yield hold
        finally:
            add_to(self._of, caller, -size)


class GatewayLimits:
    """The bounds of one gateway; `hosts` is how many models of callers' own it scores by at a time."""

    def __init__(self, *, body_bytes: int, artifact_bytes: int, hosts: int, is_foreign_code_allowed: bool) -> None:
        self.body_bytes = body_bytes
        self.artifact_bytes = artifact_bytes + _SLACK_BYTES  # a multipart body has more than its file
        self._is_foreign_code_allowed = is_foreign_code_allowed
        self._hosts = asyncio.Semaphore(hosts)
        self._turns = Turns(_PLACES, of_one=_OF_ONE, large=LARGE)
        self._converters = Converters()
        self._proto_turns = Turns(_PROTOS, of_one=1)
        self._calls = Counter[str]()
        self._held = Held(body_bytes)

    async def start(self) -> None:
        """Make ready for work: a first process for it takes a second to start."""
        await self._converters.start()

    async def close(self) -> None:
        """Stop the worker processes."""
        await self._converters.close()

    def work(self, request: Request) -> Work:
        """Return the reader and writer of rows for a request's caller."""
        return Work(caller_of(request), self._turns, self._converters)

    async def compile(self, request: Request, source: bytes) -> Schema:
        """Compile a proto of the caller of a request, in turn with others, and to its end even if the caller leaves.

        Raises:
            SwapError: it does not compile, or has no operation.
            Problem: 429, too many protos of the caller wait.

        """

        async def compiled() -> Schema:
            async with self._proto_turns.turn(caller_of(request), len(source)):
                return await protos.compile(source)

        compiling = asyncio.create_task(compiled())
        compiling.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may have left
        return await asyncio.shield(compiling)

    def fair(self, answer: Answer) -> Answer:
        """Return an endpoint that ends when its caller leaves, and takes no more than the share of a caller.

        Its caller's further calls are refused (429) while too many are in hand.
        """

        async def shared(request: Request) -> Response:
            caller = caller_of(request)
            if self._calls[caller] >= CALLS:
                detail = f"{CALLS} calls of this caller are in hand: wait for their replies"
                raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=1)
            add_to(self._calls, caller, 1)
            try:
                with self._held.by(caller) as request.scope["hold"]:
                    return await while_there(request, answer)
            finally:
                add_to(self._calls, caller, -1)

        return shared

    def may_load(self, kind: str) -> bool:
        """Whether a model of this kind may be loaded here: it brings no code of its own, or that is allowed."""
        return kind in _CODE_FREE or self._is_foreign_code_allowed

    @asynccontextmanager
    async def host(self) -> AsyncIterator[None]:
        """Take a place for a model host. Raises Problem: 429, all are taken."""
        if self._hosts.locked():
            detail = "this gateway scores by as many models of callers' own as it may: try again soon"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, retry_after_s=2)
        async with self._hosts:
            yield
