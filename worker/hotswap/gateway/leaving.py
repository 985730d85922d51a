"""Ends a call when its caller leaves: nobody would read its reply."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

CLIENT_CLOSED_REQUEST: Final = 499
"""As nginx calls it, for the log and the metrics: nobody reads it."""


async def while_there(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
    """Return the response to a request, as long as the client waits for it: else the call is cancelled.

    What was published for it stays, and is answered in the topics.
    """
    is_read = asyncio.Event()

    async def receive() -> Message:
        message = await request.receive()
        if not message.get("more_body"):
            is_read.set()
        return message

    async def leave() -> None:
        await is_read.wait()  # who leaves before has not sent the body, which is found where it is read
        while (await request.receive())["type"] != "http.disconnect":
            pass

    answering = asyncio.ensure_future(answer(Request(request.scope, receive)))
    leaving = asyncio.create_task(leave())
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        leaving.cancel()
        answering.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)
