"""One connection: uvicorn's protocol, with bounds on bytes and time.

Uvicorn bounds no head: its parser, httptools, keeps a header until it ends, however long it is. And it has one time-out
only, that of a connection which is kept after a response.
"""

import asyncio
from collections.abc import Iterator
from enum import Enum, auto
from http import HTTPStatus
from time import monotonic
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from hotswap.gateway.tls import subject_of

HEAD_BYTES = 64 << 10
"""The most bytes of a request line and its headers."""
HEADERS = 200
HEAD_S = 10.0
"""How long a head may take from its first byte, and a TLS handshake, seconds."""
IDLE_S = 30.0
"""How long a connection may stay open without a request, seconds."""
_REST_S = 5.0
"""How long the rest of a request may take once it has its response: some clients read it only then."""
_STUCK_S = 30.0
"""How long a client may leave a response unread, seconds."""
_FRAMING_BYTES = 64 << 10
_FRAMING_PER_BYTE = 16
"""How many bytes of chunk sizes, extensions and trailers a body may have, and how many more for each of its own."""
_PIPELINED = 100
_PIECE = 16 << 10


class _Part(Enum):
    """The next part of a request; trailers belong to the body."""

    REQUEST = auto()
    HEAD = auto()
    BODY = auto()


class Connection(HttpToolsProtocol):
    """A connection with bounds; `state` has the client's address as `peer`, and the subject of its certificate.

    `overdue` must be called every second or so: it ends what takes too long.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._part = _Part.REQUEST
        self._is_another_part = False
        """Whether a part has ended within the piece that is being parsed."""
        self._head_bytes = 0
        self._headers = 0
        self._framing_bytes = 0
        self._body_bytes = 0
        self._is_deaf = False
        self._since = monotonic()
        """When the connection began to wait for a request, when the head of one began, or when its response ended."""
        self._stuck_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, after its handshake."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "peer": self.client[0] if self.client else ""}
        if certificate := transport.get_extra_info("peercert"):
            self.app_state = {**self.app_state, "subject": subject_of(certificate)}

    # ---- what a sender may send

    def data_received(self, data: bytes) -> None:
        """Parse bytes in pieces, so that bounds hold within a single read, too."""
        for piece in _pieces(data):
            if self.transport.is_closing() or self._is_deaf:
                return
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        self._is_another_part, body_bytes = False, self._body_bytes
        super().data_received(piece)
        if self.transport.is_closing():
            return
        if self._is_another_part:
            pass  # the bytes of two parts, neither of which was long up to here
        elif self._part is _Part.BODY:
            self._framing_bytes += len(piece) - (self._body_bytes - body_bytes)
            if self._framing_bytes > _FRAMING_BYTES + _FRAMING_PER_BYTE * self._body_bytes:
                self.transport.abort()
        else:
            self._head_bytes += len(piece)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(f"the request line and its headers may have at most {HEAD_BYTES} bytes")
        if len(self.pipeline) > _PIPELINED:
            self.transport.abort()

    def _begin(self, part: _Part) -> None:
        self._part, self._is_another_part = part, True
        self._head_bytes = self._headers = self._framing_bytes = self._body_bytes = 0

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._begin(_Part.HEAD)
        self._since = monotonic()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; drop a trailer: it comes after authorization, and could change the caller."""
        if self._part is _Part.HEAD:
            self._headers += 1
            if self._headers > HEADERS:
                raise ValueError(HEADERS)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the call."""
        self._begin(_Part.BODY)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Expect the next head."""
        self._begin(_Part.REQUEST)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse malformed HTTP, or too many headers."""
        if self._headers > HEADERS:
            self._refuse(f"a request may have at most {HEADERS} headers")
        else:
            super().send_400_response(msg)

    def _refuse(self, detail: str) -> None:
        if not self.is_idle:  # another response is under way
            self.transport.close()
            return
        text = f"{detail}\n".encode()
        head = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE] + head.encode() + text)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # Closing while the client still sends would reset the connection, and lose the response.
        self._is_deaf, self._since = True, monotonic()
        self.flow.pause_reading()

    def _unsupported_upgrade_warning(self) -> None:
        # The parser takes no body after an upgrade: what follows would be read as the next request, which no proxy
        # before this one has seen.
        self._is_deaf = True
        self.cycle.keep_alive = False

    # ---- how long it may take

    @property
    def is_idle(self) -> bool:
        """Whether no call is in hand: nothing is lost if the connection ends."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def since(self) -> float:
        """Since when an idle connection waits."""
        return self._since

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._since = monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        self._stuck_since = monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._stuck_since = None
        super().resume_writing()

    def overdue(self, now: float) -> None:
        """End the connection if it has taken too long."""
        if self.transport.is_closing():
            self._stuck_since = self._stuck_since or now  # the rest of a response is still to be read
        if self._stuck_since and now - self._stuck_since > _STUCK_S:
            self.transport.abort()
        elif self.is_idle and not self.transport.is_closing() and now - self._since > self._patience():
            self.transport.close()

    def _patience(self) -> float:
        if self._is_deaf or self._part is _Part.BODY:
            return _REST_S
        return HEAD_S if self._part is _Part.HEAD else IDLE_S


def _pieces(data: bytes) -> Iterator[bytes]:
    if len(data) <= _PIECE:
        yield data
        return
    for at in range(0, len(data), _PIECE):
        yield data[at : at + _PIECE]
