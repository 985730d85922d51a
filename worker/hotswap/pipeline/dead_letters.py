"""Builds dead letters: a refused request's own bytes, or facts about them where they do not fit."""

import hashlib
from collections.abc import Iterable

from hotswap.batch import Headers, Record, Refusal, Request, Unscorable

_BATCH_BYTES = 61  # the overhead of a batch,
_RECORD_BYTES = 36  # the most that the lengths, deltas and counts of a record take,
_HEADER_BYTES = 10  # and those of a header


def record_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return an upper bound on the bytes that a record takes as a batch of one (format v2, KIP-98)."""
    return _BATCH_BYTES + _RECORD_BYTES + len(key or b"") + len(value or b"") + _header_bytes(headers)


def dead_letter(request: Request, refusal: Refusal, own: Headers, ours: Headers, limit: int) -> Record:
    """Build the dead letter of a request: its key, value and own headers, plus ours, including `code` and `message`.

    Parts that do not fit into `limit` bytes are dropped: first the value, then its own headers, then the key.
    `value-size` and `value-sha256` then stand for the value, and `message` says what is missing.
    """
    key, value = request.key, request.value
    facts: Headers = ()
    if isinstance(request, Unscorable):
        value, facts = request.kept, request.facts
    left_out: list[str] = []
    if value is not None and record_bytes(key, value, [*own, *ours]) > limit:
        facts = (("value-size", b"%d" % len(value)), ("value-sha256", hashlib.sha256(value).hexdigest().encode()))
        value = None
        left_out.append("value")
    if record_bytes(key, value, [*own, *facts, *ours]) > limit:
        own = ()
        left_out.append("headers")
    if record_bytes(key, value, [*facts, *ours]) > limit:
        key = None
        left_out.append("key")
    names = [name for name, _ in facts]
    message = refusal.message
    if left_out:
        message = f"{message} ({' and '.join(left_out)} not kept: a dead letter has at most {limit} bytes)"
    why = [("code", refusal.code.encode()), ("message", message.encode(errors="replace"))]
    return key, value, [*(header for header in own if header[0] not in names), *ours, *facts, *why]


def _header_bytes(headers: Iterable[tuple[str, bytes | None]]) -> int:
    return sum([_HEADER_BYTES + len(name.encode(errors="replace")) + len(value or b"") for name, value in headers])
