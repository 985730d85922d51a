"""What a request's headers and size say before anything looks into it: the operation it asks for, or a refusal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from worker.batch import Code, Headers, Refusal, Request

OURS = frozenset({"generation", "model-digest", "operation", "source", "code", "message"})
"""Headers that an answer carries from us: a request's own of these names are not copied."""

_PROTOBUF = frozenset({b"application/x-protobuf", b"application/protobuf", b"application/vnd.google.protobuf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the serving generation admits."""

    proto_sha256: str
    operations: tuple[str, ...]
    max_request_bytes: int

    @property
    def default_operation(self) -> str:
        """The operation of a request that names none; empty where the proto has several."""
        return self.operations[0] if len(self.operations) == 1 else ""


def needs_a_look(batch: Sequence[Request], rules: Rules) -> list[int]:
    """Indices of the requests that the fast way does not cover: with headers, without a value, or too large."""
    limit = rules.max_request_bytes
    default = rules.default_operation
    return [
        index
        for index, request in enumerate(batch)
        if request.headers or request.value is None or len(request.value) > limit or not default
    ]


def admit(request: Request, rules: Rules, now_ms: int) -> str | Refusal:
    """The operation that a request asks for, or why it is not scored."""
    if request.value is None:
        return Refusal(Code.UNDECODABLE, "the record has no value; an empty message is zero bytes, not none")
    if len(request.value) > rules.max_request_bytes:
        return Refusal(
            Code.TOO_LARGE, f"{len(request.value)} bytes, and {rules.max_request_bytes} are allowed (max_request_bytes)"
        )
    named = dict(request.headers)
    return _format(named) or _guards(named, rules, now_ms) or _operation(named, rules)


def copied(headers: Headers) -> list[tuple[str, bytes]]:
    """The request's headers that its answer carries too."""
    return [header for header in headers if header[0] not in OURS]


def _format(named: dict[str, bytes]) -> Refusal | None:
    for name in ("content-type", "accept"):
        value = named.get(name)
        if value and value.split(b";")[0].strip().lower() not in _PROTOBUF | ({b"*/*"} if name == "accept" else set()):
            shown = value[:80].decode(errors="replace")
            return Refusal(Code.UNSUPPORTED_CONTENT_TYPE, f"header {name}: {shown!r}; served is application/x-protobuf")
    return None


def _guards(named: dict[str, bytes], rules: Rules, now_ms: int) -> Refusal | None:
    digest = named.get("proto-digest")
    if digest and digest.decode(errors="replace").lower() != rules.proto_sha256:
        return Refusal(
            Code.PROTO_MISMATCH,
            f"the request was made for proto {digest[:80].decode(errors='replace')}, serving is {rules.proto_sha256}",
        )
    not_after = named.get("not-after")
    if not not_after:
        return None
    try:
        limit_ms = _milliseconds(not_after.decode())
    except ValueError:
        return Refusal(
            Code.MALFORMED_HEADER,
            f"header not-after: {not_after[:80]!r} is neither milliseconds since the epoch nor an ISO 8601 time",
        )
    if now_ms > limit_ms:
        return Refusal(Code.EXPIRED, f"scored {now_ms - limit_ms} ms after its not-after")
    return None


def _milliseconds(text: str) -> int:
    if text.strip().isdigit():
        return int(text)
    time = datetime.fromisoformat(text)
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _operation(named: dict[str, bytes], rules: Rules) -> str | Refusal:
    known = ", ".join(rules.operations)
    asked = named.get("operation")
    if not asked:
        if rules.default_operation:
            return rules.default_operation
        return Refusal(Code.UNKNOWN_OPERATION, f"no header operation, and the proto has several: {known}")
    try:
        operation = asked.decode()
    except UnicodeDecodeError:
        return Refusal(Code.MALFORMED_HEADER, f"header operation: {asked[:80]!r} is no UTF-8 text")
    if operation not in rules.operations:
        return Refusal(Code.UNKNOWN_OPERATION, f"operation {operation[:80]!r} is unknown; there are: {known}")
    return operation
