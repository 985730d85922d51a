"""How much a gateway takes on at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from hotswap.gateway.problems import Problem

_SLACK_BYTES = 64 << 10
_CODE_FREE = frozenset({"h2o"})


class Limits:
    """The bounds of one gateway; `hosts` is how many models of callers' own it scores by at a time."""

    def __init__(self, *, body_bytes: int, artifact_bytes: int, hosts: int, is_foreign_code_allowed: bool) -> None:
        self.body_bytes = body_bytes
        self.artifact_bytes = artifact_bytes + _SLACK_BYTES  # a multipart body has more than its file
        self._is_foreign_code_allowed = is_foreign_code_allowed
        self._hosts = asyncio.Semaphore(hosts)

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
