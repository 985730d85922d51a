"""Admits requests by their headers and size, without parsing them: returns the operation asked for, or a refusal."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from hotswap.batch import Ask, Code, Format, Headers, Refusal, Request, Unscorable
from hotswap.printable import duration

OURS = frozenset({"generation", "model-digest", "operation", "source", "code", "message"})
"""Headers that we set on an answer; a request's own headers of these names are not copied."""

READ = frozenset({"accept", "content-type", "not-after", "operation", "proto-digest"})
"""Headers of a request that say whether and how it is answered."""

ONCE = READ | {"request-id"}
"""Headers that a request may have once: of two, one reader would take the first and another the last."""

_FORMATS = {
    b"application/x-protobuf": Format.PROTOBUF,
    b"application/protobuf": Format.PROTOBUF,
    b"application/vnd.google.protobuf": Format.PROTOBUF,
    b"text/csv": Format.CSV,
    b"application/json": Format.JSON,
}
_ANY = frozenset({b"*/*", b"application/*", b"text/*"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The admission rules of the serving generation."""

    proto_sha256: str
    operations: tuple[str, ...]
    max_request_bytes: int

    @property
    def default_operation(self) -> str:
        """The operation of a request that names none; empty if the proto has several."""
        return self.operations[0] if len(self.operations) == 1 else ""


def needs_a_look(batch: Sequence[Request], rules: Rules) -> list[int]:
    """Return the indices of requests that the fast path does not cover: with headers, without a value, or too large."""
    if not rules.default_operation:
        return list(range(len(batch)))
    limit = rules.max_request_bytes
    return [
        index
        for index, request in enumerate(batch)
        if request.headers or (value := request.value) is None or len(value) > limit
    ]


def admit(request: Request, rules: Rules, now_ms: int) -> Ask | Refusal:
    """Return the operation and formats of a request, or its refusal; the answer's format defaults to the request's."""
    if isinstance(request, Unscorable):
        return request.refusal
    if request.value is None:
        return Refusal(Code.UNDECODABLE, "the record has no value; an empty message is zero bytes, not null")
    if len(request.value) > rules.max_request_bytes:
        return too_large(len(request.value), rules.max_request_bytes)
    try:
        named = _named(request.headers)
        content = _format("content-type", named.get("content-type")) or Format.PROTOBUF
        accept = _format("accept", named.get("accept")) or content
        _guard(named, rules, now_ms)
        return _ask(_operation(named, rules), content, accept)
    except _Refused as refused:
        return refused.refusal


def too_large(size: int, most: int) -> Refusal:
    """Refuse a request of `size` bytes, where `most` are allowed."""
    return Refusal(Code.TOO_LARGE, f"{size} bytes, but max_request_bytes allows {most}")


def copied(headers: Headers) -> list[tuple[str, bytes]]:
    """Return the request's headers that are copied to its answer."""
    return [header for header in headers if header[0] not in OURS]


def answered(headers: Headers) -> list[tuple[str, bytes]]:
    """Return the headers copied to the prediction of an admitted request, with the prediction's own content type."""
    kept = copied(headers)
    named = {name: value for name, value in kept if name in ("content-type", "accept")}
    if not named:
        return kept
    written = _format("accept", named.get("accept")) or _format("content-type", named.get("content-type"))
    others = [header for header in kept if header[0] != "content-type"]
    return [*others, ("content-type", (written or Format.PROTOBUF).encode())]


@lru_cache(maxsize=1_000)
def _ask(operation: str, content: Format, accept: Format) -> Ask:
    """Share one object among equal asks: a batch is pickled for its host, and each distinct object costs 1.7 µs."""
    return Ask(operation, content, accept)


class _Refused(Exception):
    """Answer the request with the refusal."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message)


def _format(name: str, value: bytes | None) -> Format | None:
    """Return the first supported format that a header names; None if it is absent or accepts any."""
    if not value:
        return None
    for part in value.split(b","):
        kind = part.split(b";")[0].strip().lower()
        if kind in _FORMATS:
            return _FORMATS[kind]
        if name == "accept" and kind in _ANY:
            return None
    served = ", ".join(Format)
    raise _Refused(
        Code.UNSUPPORTED_CONTENT_TYPE,
        f"header {name}: {value[:80].decode(errors='replace')!r} is not supported; supported are {served}",
    )


def _named(headers: Headers) -> dict[str, bytes]:
    """Return the headers by their names, once it is certain that none of ours is repeated."""
    names = [name for name, _ in headers if name in ONCE]
    if len(names) > len(set(names)):
        name, count = Counter(names).most_common(1)[0]
        raise _Refused(Code.MALFORMED_HEADER, f"header {name}: there are {count} of it, and a request may have one")
    return dict(headers)


def _guard(named: dict[str, bytes], rules: Rules, now_ms: int) -> None:
    digest = named.get("proto-digest")
    if digest and digest.decode(errors="replace").lower() != rules.proto_sha256:
        shown = digest[:80].decode(errors="replace")
        raise _Refused(Code.PROTO_MISMATCH, f"the request was made for proto {shown}, but {rules.proto_sha256} serves")
    not_after = named.get("not-after")
    if not not_after:
        return
    try:
        limit_ms = _milliseconds(not_after.decode())
    except ValueError:
        raise _Refused(
            Code.MALFORMED_HEADER,
            f"header not-after: {not_after[:80]!r} is neither milliseconds since the epoch nor an ISO 8601 time",
        ) from None
    if now_ms > limit_ms:
        raise _Refused(Code.EXPIRED, f"scored {duration((now_ms - limit_ms) / 1000)} after its not-after")


def _milliseconds(text: str) -> int:
    if text.strip().isdigit():
        return int(text)
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _operation(named: dict[str, bytes], rules: Rules) -> str:
    known = ", ".join(rules.operations)
    header = named.get("operation")
    if not header:
        if rules.default_operation:
            return rules.default_operation
        raise _Refused(Code.UNKNOWN_OPERATION, f"no header operation, but the proto has several: {known}")
    try:
        operation = header.decode()
    except UnicodeDecodeError:
        raise _Refused(Code.MALFORMED_HEADER, f"header operation: {header[:80]!r} is not valid UTF-8") from None
    if operation not in rules.operations:
        raise _Refused(Code.UNKNOWN_OPERATION, f"operation {operation[:80]!r} is unknown; the proto has: {known}")
    return operation
