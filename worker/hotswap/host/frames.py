"""What a model host and its parent say to each other: frames of a 4-byte length (little-endian) and a body.

Parent to child, trusted: u32 and so many bytes of a pickled (verb, ...) tuple, then a batch's values (codec/packed.py).
`load` comes once, at first or some time after a `prepare`; then batches, `score` or `one_by_one`, each with a ticket
that its answers repeat, so that the answers of a batch whose caller has gone are told apart.

Child to parent, NOT trusted (a stranger's model runs there): never unpickled; every length is checked before it is
used, and a frame that does not hold together raises FrameError: the parent then treats the host as crashed.

    kind (1 byte), ticket (u32), then
    PREPARED       an empty JSON object
    READY, FAILED  a JSON object
    ANNOUNCE       u32: the index of the request that is scored next (one-by-one mode only)
    ANSWER         u32 and so many bytes of answers (codec/packed.py), u32 n and n x u32, the indices of those that are
                   refusals ("CODE message"), and a JSON object that is mostly empty: {unknown column: count}

What JSON there is, is short: a minute's parsing would be a minute in which nothing else runs, for Python's parser lets
no other thread in. So each kind has a size that it may not exceed, and a child shortens what it says of itself.
"""

import json
import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, NamedTuple

from hotswap.batch import Answer, Ask, Code, Refusal, ScoredBatch
from hotswap.codec.packed import Packed, pack
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration

LENGTH = struct.Struct("<I")
MAX_FACTS_BYTES = 1 << 20
"""Bytes of READY and of FAILED at most."""
MAX_FRAME_BYTES = 1 << 30
"""Bytes of ANSWER at most, and of all that a child may have said before anybody listened."""
OUT_OF_MEMORY = 70
"""The exit code of a child that could not allocate memory outside of Java's heap."""
MAX_REASON = 100_000
"""Characters of why a model was not loaded at most: a line for each column that does not fit."""
_MAX_TEXT = 4_000
_MAX_CHARACTER = 4  # bytes of UTF-8
_MAX_UNKNOWN_BYTES = 64 << 10
_HEAD = struct.Struct("<BI")


class Kind(IntEnum):
    """What a frame of the child says."""

    READY = 1
    FAILED = 2
    ANNOUNCE = 3
    ANSWER = 4
    PREPARED = 5


_MOST = {
    Kind.READY: MAX_FACTS_BYTES,
    Kind.FAILED: MAX_FACTS_BYTES,
    Kind.ANNOUNCE: _HEAD.size + LENGTH.size,
    Kind.ANSWER: MAX_FRAME_BYTES,
    Kind.PREPARED: 1 << 10,
}


class FrameError(Exception):
    """Treat the host as crashed: it sent something that is no frame of ours."""


class Frame(NamedTuple):
    """A frame of the child, its payload still to be read by the reader of its kind."""

    kind: Kind
    ticket: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a child stands on before it has a generation: the kind of model, and the Java that it runs on."""

    kind: str
    heap_mb: int
    jvm_library: str
    jvm_options: tuple[str, ...]
    classpath: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the child needs to hold a generation: the triple, and the ground to load it on.

    It `is_low_priority` while it loads where another one serves meanwhile; else it is waited for.
    """

    ground: Ground
    model: str
    proto: bytes
    is_descriptor_set: bool
    configuration: Configuration
    samples: tuple[bytes, ...]
    is_low_priority: bool = False


# ---- parent to child


def pack_prepare(ground: Ground, prewarm_on: Order | None = None) -> bytes:
    """Give the frame that makes a child do all that it can before it has a generation; `prewarm_on` is one to load."""
    return _order_frame(("prepare", ground, prewarm_on and _plain(prewarm_on)))


def pack_load(order: Order) -> bytes:
    """Give the frame that makes a child load a generation."""
    return _order_frame(("load", _plain(order)))


def pack_describe(order: Order) -> bytes:
    """Give the frame that makes a child load a model alone, say what it takes and gives (interface.py), and end."""
    return _order_frame(("describe", _plain(order)))


def _plain(order: Order) -> Order:
    # A read-only mapping cannot be pickled, a dict can.
    given = order.configuration
    plain = replace(given, columns=dict(given.columns), outputs=dict(given.outputs), runtime=dict(given.runtime))
    return replace(order, configuration=plain)


def pack_batch(verb: str, ticket: int, values: Sequence[bytes], asks: Sequence[Ask] | None) -> bytes:
    """Give the frame of a batch; `verb` is "score", or "one_by_one" to announce and answer each request by itself."""
    return _order_frame((verb, ticket, asks), pack(values))


def _order_frame(order: tuple[Any, ...], values: bytes = b"") -> bytes:
    said = pickle.dumps(order, protocol=5)
    return _framed(LENGTH.pack(len(said)) + said + values)


def receive(connection: socket.socket) -> tuple[Any, ...] | None:
    """Wait for the parent's next message, behind which come its values, where it has any.

    None when the parent has closed the connection (or is dead).
    """
    head = _receive_exactly(connection, LENGTH.size)
    body = head and _receive_exactly(connection, LENGTH.unpack(head)[0])
    if not body:
        return None
    end = LENGTH.size + LENGTH.unpack_from(body)[0]
    said = pickle.loads(memoryview(body)[LENGTH.size : end])  # noqa: S301 - the parent is the worker itself
    return (*said, Packed(memoryview(body)[end:])) if end < len(body) else said


def _receive_exactly(connection: socket.socket, count: int) -> bytearray | None:
    buffer = bytearray(count)
    view, filled = memoryview(buffer), 0
    while filled < count:
        received = connection.recv_into(view[filled:])
        if not received:
            return None
        filled += received
    return buffer


def _framed(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body


# ---- child to parent


def pack_facts(kind: Kind, facts: Mapping[str, Any]) -> bytes:
    """Give the frame READY or FAILED."""
    return _framed(_HEAD.pack(kind, 0) + json.dumps(facts, ensure_ascii=False).encode(errors="replace"))


def pack_announcement(ticket: int, index: int) -> bytes:
    """Give the frame that names the request that is scored next."""
    return _framed(_HEAD.pack(Kind.ANNOUNCE, ticket) + LENGTH.pack(index))


def pack_answers(ticket: int, batch: ScoredBatch) -> bytes:
    """Give the frame that answers a batch."""
    answers, unknown = batch
    refused: list[int] = []
    values: Any = answers
    if not isinstance(answers, Packed) and any(type(answer) is Refusal for answer in answers):
        values = list(answers)
        for index, answer in enumerate(answers):
            if isinstance(answer, Refusal):
                refused.append(index)
                values[index] = f"{answer.code} {answer.message[:_MAX_TEXT]}".encode(errors="replace")
    packed = values.buffer if isinstance(values, Packed) else pack(values)
    places = struct.pack(f"<{len(refused) + 1}I", len(refused), *refused)
    tail = _pack_unknown(unknown) if unknown else b"{}"
    return _framed(b"".join([_HEAD.pack(Kind.ANSWER, ticket), LENGTH.pack(len(packed)), packed, places, tail]))


def _pack_unknown(unknown: Mapping[str, int]) -> bytes:
    """Give the columns that most often had unknown categories, as many of them as may be told."""
    most = sorted(unknown.items(), key=lambda item: -item[1])
    while len(packed := json.dumps(dict(most)).encode()) > _MAX_UNKNOWN_BYTES:
        del most[len(most) // 2 :]
    return packed


def check_size(size: int, kind: int | None) -> None:
    """Check a frame by its length and its first byte, where that is there yet. Raises FrameError."""
    if kind is None:
        most = MAX_FRAME_BYTES
    elif kind in _MOST:
        most = _MOST[Kind(kind)]
    else:
        raise FrameError(f"a frame of {size} bytes is of no known kind")
    if size > most:
        name = "" if kind is None else f" {Kind(kind).name}"
        raise FrameError(f"it announced a frame{name} of {size:,} bytes, and {most:,} are allowed")


def parse_frame(body: bytes) -> Frame:
    """Read the kind and the ticket of a child's frame. Raises FrameError."""
    try:
        kind, ticket = _HEAD.unpack_from(body)
        return Frame(Kind(kind), ticket, body[_HEAD.size :])
    except (struct.error, ValueError) as error:
        raise FrameError(f"a frame of {len(body)} bytes is of no known kind") from error


def parse_facts(payload: bytes) -> dict[str, Any]:
    """Read what READY or FAILED says. Raises FrameError."""
    try:
        facts = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame is no JSON") from error
    if not isinstance(facts, dict):
        raise FrameError("a frame's JSON is no object")
    return facts


def check_prepared(frame: Frame) -> None:
    """Check that it is what a child says once it is prepared. Raises FrameError."""
    if frame.kind is not Kind.PREPARED:
        raise FrameError(f"{frame.kind.name} came where PREPARED was due")


def check_announcement(payload: bytes, index: int) -> None:
    """Check that request `index` is the one that is announced. Raises FrameError."""
    if payload != LENGTH.pack(index):
        raise FrameError(f"request {index} was not announced in its turn")


def parse_answers(payload: bytes, count: int) -> ScoredBatch:
    """Read the answers to a batch of `count` requests. Raises FrameError."""
    try:
        end = LENGTH.size + LENGTH.unpack_from(payload)[0]
        packed = Packed(payload[LENGTH.size : end])
        if len(packed) != count:
            raise FrameError(f"a batch of {count} was answered with {len(packed)} values")
        answers: list[Answer] = list(packed)
        refused = _whole(LENGTH.unpack_from(payload, end)[0], count + 1)
        places = struct.unpack_from(f"<{refused}I", payload, end + LENGTH.size)
    except (struct.error, ValueError) as error:
        raise FrameError(f"{len(payload)} bytes cannot answer a batch of {count}: {error}") from error
    tail = end + (1 + refused) * LENGTH.size
    if len(payload) - tail > _MAX_UNKNOWN_BYTES:
        raise FrameError(f"{len(payload) - tail:,} bytes of unknown columns, and {_MAX_UNKNOWN_BYTES:,} are allowed")
    facts = parse_facts(payload[tail:])
    try:
        for index in places:
            answers[index] = _refusal(answers[_whole(index, count)])
        unknown = {clean(column): _whole(times, 1 << 32) for column, times in facts.items()}
    except ValueError as error:
        raise FrameError(f"a batch was answered with refusals that are none: {error}") from error
    return ScoredBatch(answers, unknown)


def _refusal(told: Answer) -> Refusal:
    if isinstance(told, Refusal):
        raise ValueError("a request was refused twice")  # noqa: TRY004 - it came from a child
    code, _, message = told[: _MAX_CHARACTER * _MAX_TEXT].partition(b" ")
    return Refusal(Code(code.decode()), clean(message.decode(errors="replace")))


def parse_failure(payload: bytes) -> SwapError:
    """Read why a child could not load its model; an unknown code is HOST_FAILED. Raises FrameError."""
    facts = parse_facts(payload)
    try:
        code = SwapCode(str(facts.get("code")))
    except ValueError:
        code = SwapCode.HOST_FAILED
    return SwapError(code, clean(facts.get("message", ""), MAX_REASON))


def clean(text: object, limit: int = _MAX_TEXT) -> str:
    """Make a text of a child's one that any header or message can hold: of bounded length, and sound UTF-8."""
    return str(text)[:limit].encode(errors="replace").decode()


def _whole(number: object, end: int) -> int:
    if type(number) is not int or not 0 <= number < end:
        raise ValueError(f"{number!r} is not in 0 to {end - 1}")
    return number
