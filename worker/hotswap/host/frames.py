"""The protocol between a model host and its parent: frames of a 4-byte length (little-endian) and a body.

Parent to child, trusted: u32 and that many bytes of a pickled (verb, ...) tuple, then a batch's values
(codec/packed.py) or an order (sealing.py). `load` comes once, either first or some time after a `prepare`; batches
follow, as `score`, `one_by_one` or `seal`, each with a ticket that its answers repeat: so late ones can be told apart.

Child to parent, NOT trusted (it runs somebody else's model): never unpickled; every length is checked before it is
used, and a malformed frame raises FrameError, upon which the parent treats the host as crashed.

    kind (1 byte), ticket (u32), then
    PREPARED       an empty JSON object
    STEP           u32: what it does next on its way to READY (its place in Step)
    READY, FAILED  a JSON object
    ANNOUNCE       u32: the index of the request that is scored next (one-by-one mode only)
    ANSWER         u32 and that many bytes of answers (codec/packed.py), u32 n and n x u32, the indices of those that
                   are refusals ("CODE message"), and a JSON object, usually empty: {unknown column: count}
    SEALED         the result of a `seal` (sealing.py)
    SHUT_IN        a JSON object (sandbox.py): what it cannot do from now on; before a model is loaded, and then only

JSON is kept short: Python's parser holds the GIL, so nothing else runs while it parses. Each kind of frame therefore
has a maximum size, and a child shortens what it reports about itself.
"""

import json
import pickle
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

from hotswap.batch import Answer, Ask, Code, Refusal, ScoredBatch
from hotswap.codec.packed import Buffer, Packed, pack
from hotswap.errors import SwapCode, SwapError
from hotswap.host.order import Ground, Order

LENGTH = struct.Struct("<I")
_ROOM_STEP = 1 << 20
MAX_FACTS_BYTES = 1 << 20
"""Maximum size of READY and FAILED, bytes."""
MAX_FRAME_BYTES = 1 << 30
"""Maximum size of ANSWER, and of all frames of a child that nobody has received yet, bytes."""
OUT_OF_MEMORY = 70
"""Exit code of a child that could not allocate memory outside the Java heap."""
MAX_REASON = 100_000
"""Maximum length of the reason why a model was not loaded, characters: it has a line per mismatched column."""
_MAX_TEXT = 4_000
_MAX_CHARACTER = 4  # bytes of UTF-8
_MAX_UNKNOWN_BYTES = 64 << 10
_HEAD = struct.Struct("<BI")


class Kind(IntEnum):
    """The kind of a child's frame."""

    READY = 1
    FAILED = 2
    ANNOUNCE = 3
    ANSWER = 4
    PREPARED = 5
    STEP = 6
    SEALED = 7
    SHUT_IN = 8


class StartStep(StrEnum):
    """The steps of a child from its start to READY, in this order, to complete "it was …"."""

    STARTING = "starting Java"
    LOADING = "loading the model"
    SAMPLING = "scoring the samples"
    COMPARING = "scoring the golden rows"
    WARMING = "warming up"


_STEPS = tuple(StartStep)
_MAX_SIZES = {
    Kind.READY: MAX_FACTS_BYTES,
    Kind.FAILED: MAX_FACTS_BYTES,
    Kind.ANNOUNCE: _HEAD.size + LENGTH.size,
    Kind.ANSWER: MAX_FRAME_BYTES,
    Kind.PREPARED: 1 << 10,
    Kind.STEP: _HEAD.size + LENGTH.size,
    Kind.SEALED: MAX_FRAME_BYTES,
    Kind.SHUT_IN: 4 << 10,
}


class FrameError(Exception):
    """Treat the host as crashed: it sent a frame that violates the protocol."""


class Frame(NamedTuple):
    """A child's frame; the payload is still unparsed."""

    kind: Kind
    ticket: int
    payload: bytes


# ---- parent to child


def pack_prepare(ground: Ground, prewarm_on: Order | None = None) -> bytes:
    """Return the frame that prepares a child before its generation is known; it prewarms on `prewarm_on`, if given."""
    return _order_frame(("prepare", ground, prewarm_on and _picklable(prewarm_on)))


def pack_load(order: Order) -> bytes:
    """Return the frame that makes a child load a generation."""
    return _order_frame(("load", _picklable(order)))


def pack_describe(order: Order) -> bytes:
    """Return the frame that makes a child load only the model, report its interface (interface.py), and exit."""
    return _order_frame(("describe", _picklable(order)))


def _picklable(order: Order) -> Order:
    return replace(order, configuration=order.configuration.picklable())


def pack_batch(verb: str, ticket: int, values: Sequence[bytes], asks: Sequence[Ask] | None) -> bytes:
    """Return the frame of a batch; `verb` is "score", or "one_by_one" to announce and answer requests separately."""
    packed = values.buffer if isinstance(values, Packed) else pack(values)
    return _order_frame((verb, ticket, asks), packed)


def pack_seal(ticket: int, order: bytes) -> bytes:
    """Return the frame of an order to answer record batches (sealing.py)."""
    return _order_frame(("seal", ticket, None), order)


def _order_frame(order: tuple[Any, ...], values: Buffer = b"") -> bytes:
    pickled = pickle.dumps(order, protocol=5)
    return _framed(b"".join([LENGTH.pack(len(pickled)), pickled, values]))


class Room:
    """Memory for one message at a time, used again and again.

    What Java was given of a message it keeps until it collects garbage, of which large batches make little: with memory
    of their own, gigabytes of them would gather until then.
    """

    def __init__(self) -> None:
        self._bytes = bytearray()

    def for_message(self, size: int) -> memoryview:
        """Return memory of this size, bytes, with the last message's content."""
        if len(self._bytes) < size:
            self._bytes = bytearray(-(-size // _ROOM_STEP) * _ROOM_STEP)
        return memoryview(self._bytes)[:size]


def receive(connection: socket.socket, room: Room | None = None) -> tuple[Any, ...] | None:
    """Wait for the parent's next message; a batch's values, if any, are appended to the tuple.

    Those are in `room`, if it is given, and hold until it is used again. Returns None once the parent has closed the
    connection (or died).
    """
    head = memoryview(bytearray(LENGTH.size))
    if not fill(connection, head):
        return None
    body = (room or Room()).for_message(LENGTH.unpack(head)[0])
    if not fill(connection, body):
        return None
    end = LENGTH.size + LENGTH.unpack_from(body)[0]
    pickled = pickle.loads(body[LENGTH.size : end])  # noqa: S301 - the parent is the worker itself
    return (*pickled, Packed(body[end:])) if end < len(body) else pickled


def fill(connection: socket.socket, view: memoryview) -> bool:
    """Receive as many bytes as fit into `view`; return False if the connection ends before."""
    filled = 0
    while filled < len(view):
        received = connection.recv_into(view[filled:])
        if not received:
            return False
        filled += received
    return True


def _framed(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body


# ---- child to parent


def pack_facts(kind: Kind, facts: Mapping[str, Any]) -> bytes:
    """Return a frame whose payload is JSON: READY, FAILED or PREPARED."""
    return _framed(_HEAD.pack(kind, 0) + json.dumps(facts, ensure_ascii=False).encode(errors="replace"))


def pack_step(step: StartStep) -> bytes:
    """Return the frame that reports a child's next step towards READY."""
    return _framed(_HEAD.pack(Kind.STEP, 0) + LENGTH.pack(_STEPS.index(step)))


def pack_announcement(ticket: int, index: int) -> bytes:
    """Return the frame that announces the request to be scored next."""
    return _framed(_HEAD.pack(Kind.ANNOUNCE, ticket) + LENGTH.pack(index))


def pack_answers(ticket: int, batch: ScoredBatch) -> bytes:
    """Return the frame that answers a batch."""
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


def pack_sealed(ticket: int, result: bytes | memoryview) -> bytes:
    """Return the frame that answers an order to seal."""
    return _framed(_HEAD.pack(Kind.SEALED, ticket) + result)


def _pack_unknown(unknown: Mapping[str, int]) -> bytes:
    """Serialize the columns with the most unknown categories, as many as fit into the limit."""
    most = sorted(unknown.items(), key=lambda item: -item[1])
    while len(packed := json.dumps(dict(most)).encode()) > _MAX_UNKNOWN_BYTES:
        del most[len(most) // 2 :]
    return packed


def check_size(size: int, kind: int | None) -> None:
    """Check a frame's length against its kind (its first byte, None if not received yet). Raises FrameError."""
    if kind is None:
        most = MAX_FRAME_BYTES
    elif kind in _MAX_SIZES:
        most = _MAX_SIZES[Kind(kind)]
    else:
        raise FrameError(f"a frame of {size} bytes has an unknown kind")
    if size > most:
        name = "frame" if kind is None else f"{Kind(kind).name} frame"
        raise FrameError(f"it announced a {name} of {size:,} bytes; at most {most:,} are allowed")


def parse_frame(body: bytes) -> Frame:
    """Split a child's frame into kind, ticket and payload. Raises FrameError."""
    try:
        kind, ticket = _HEAD.unpack_from(body)
        return Frame(Kind(kind), ticket, body[_HEAD.size :])
    except (struct.error, ValueError) as error:
        raise FrameError(f"a frame of {len(body)} bytes has an unknown kind") from error


def parse_facts(payload: bytes) -> dict[str, Any]:
    """Parse the JSON object of READY or FAILED. Raises FrameError."""
    try:
        facts = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError("a frame is not valid JSON") from error
    if not isinstance(facts, dict):
        raise FrameError("a frame's JSON is not an object")
    return facts


def check_prepared(frame: Frame) -> None:
    """Check that the frame is PREPARED. Raises FrameError, or the SwapError that it reports."""
    if frame.kind is Kind.FAILED:
        raise parse_failure(frame.payload)
    if frame.kind is not Kind.PREPARED:
        raise FrameError(f"expected PREPARED, received {frame.kind.name}")


def parse_step(payload: bytes, after: StartStep) -> StartStep:
    """Return the step that follows `after`, which may leave some out. Raises FrameError."""
    later = _STEPS[_STEPS.index(after) + 1 :]
    step = next((step for step in later if payload == LENGTH.pack(_STEPS.index(step))), None)
    if step is None:
        raise FrameError(f"it was {after}, and then did not say what follows that")
    return step


def check_announcement(payload: bytes, index: int) -> None:
    """Check that the frame announces request `index`. Raises FrameError."""
    if payload != LENGTH.pack(index):
        raise FrameError(f"request {index} was not announced in order")


def parse_answers(payload: bytes, count: int) -> ScoredBatch:
    """Parse the answers to a batch of `count` requests. Raises FrameError."""
    try:
        end = LENGTH.size + LENGTH.unpack_from(payload)[0]
        packed = Packed(memoryview(payload)[LENGTH.size : end])
        if len(packed.lengths) != count:
            raise FrameError(f"a batch of {count} requests was answered with {len(packed)} values")
        refused = _bounded(LENGTH.unpack_from(payload, end)[0], count + 1)
        places = struct.unpack_from(f"<{refused}I", payload, end + LENGTH.size)
    except (struct.error, ValueError) as error:
        raise FrameError(f"{len(payload)} bytes cannot answer a batch of {count} requests: {error}") from error
    tail = end + (1 + refused) * LENGTH.size
    if len(payload) - tail > _MAX_UNKNOWN_BYTES:
        took, most = f"{len(payload) - tail:,}", f"{_MAX_UNKNOWN_BYTES:,}"
        raise FrameError(f"its counts of unknown categories take {took} bytes; at most {most} are allowed")
    facts = parse_facts(payload[tail:])
    try:
        unknown = {clean(column): _bounded(times, 1 << 32) for column, times in facts.items()}
        if not places:
            return ScoredBatch(packed, unknown)
        answers: list[Answer] = list(packed)
        for index in places:
            answers[index] = _refusal(answers[_bounded(index, count)])
        return ScoredBatch(answers, unknown)
    except ValueError as error:
        raise FrameError(f"a batch was answered with invalid refusals: {error}") from error


def _refusal(refusal: Answer) -> Refusal:
    if isinstance(refusal, Refusal):
        raise ValueError("a request was refused twice")  # noqa: TRY004 - it came from a child
    code, _, message = refusal[: _MAX_CHARACTER * _MAX_TEXT].partition(b" ")
    return Refusal(Code(code.decode()), clean(message.decode(errors="replace")))


def parse_failure(payload: bytes) -> SwapError:
    """Return the error that FAILED reports; an unknown code becomes HOST_FAILED. Raises FrameError."""
    facts = parse_facts(payload)
    try:
        code = SwapCode(str(facts.get("code")))
    except ValueError:
        code = SwapCode.HOST_FAILED
    return SwapError(code, clean(facts.get("message", ""), MAX_REASON))


def clean(text: object, limit: int = _MAX_TEXT) -> str:
    """Make a child's text safe for any header or message: of bounded length and valid UTF-8."""
    return str(text)[:limit].encode(errors="replace").decode()


def _bounded(number: object, end: int) -> int:
    if type(number) is not int or not 0 <= number < end:
        raise ValueError(f"{number!r} is not between 0 and {end - 1}")
    return number
