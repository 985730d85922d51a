"""The judge's own reading of the control topic: which generations are accepted, of which parts, and cut where."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from faults.oracle import compile_proto
from google.protobuf import message_factory
from google.protobuf.message import DecodeError

_PROTO = Path(__file__).parents[2] / "protos" / "hotswap" / "v1" / "control.proto"
_FILE = compile_proto(_PROTO)
Command, Status = (message_factory.GetMessageClass(_FILE.message_types_by_name[name]) for name in ("Command", "Status"))

_LATEST_S = 253_402_300_799  # the end of the year 9999, as google.protobuf.Timestamp has it
_EARLIEST_S = -62_135_596_800


@dataclass(frozen=True, slots=True)
class Accepted:
    """A generation that any worker may score with, and the time of its command."""

    number: int
    model_sha256: str
    proto_sha256: str
    cut: dict[int, int]
    timestamp_ms: int


class _Malformed(Exception):
    """Nothing in the command can be acted on."""


class AcceptedLog:
    """Folds the control topic of one deployment, record by record in log order."""

    def __init__(self, deployment):
        self.accepted: dict[int, Accepted] = {}
        self._deployment = deployment
        self._seen = set()

    def fold(self, value, timestamp_ms):
        """The generation that this record brings; None where it brings none."""
        try:
            command = Command.FromString(value or b"")
            model, proto = _parts(command)
        except (DecodeError, _Malformed):
            return None
        if command.deployment != self._deployment or not command.command_id or command.command_id in self._seen:
            return None
        self._seen.add(command.command_id)
        kind = command.WhichOneof("kind")
        if kind in ("pause", "resume"):
            return None
        change = getattr(command, kind)
        newest = max(self.accepted, default=0)
        named = change.to if kind == "rollback" else change.base or newest
        base = self.accepted.get(named)
        model, proto = model or (base and base.model_sha256), proto or (base and base.proto_sha256)
        is_base_unknown = base is None and (kind == "rollback" or named)
        is_late = kind == "swap" and change.HasField("not_after") and timestamp_ms > _milliseconds(change.not_after)
        if change.generation <= newest or is_base_unknown or is_late or not model or not proto:
            return None
        cut = dict(change.cut_over.offsets)
        self.accepted[change.generation] = Accepted(change.generation, model, proto, cut, timestamp_ms)
        return self.accepted[change.generation]


def _parts(command):
    """SHA-256 of the model and of the proto that a well-formed command names, None for each that it does not."""
    kind = command.WhichOneof("kind")
    if kind is None:
        raise _Malformed
    if kind != "swap":
        return None, None
    swap = command.swap
    if swap.HasField("not_after"):
        stamp = swap.not_after
        if not (_EARLIEST_S <= stamp.seconds <= _LATEST_S and 0 <= stamp.nanos < 10**9):
            raise _Malformed
    return (
        _model(swap.model) if swap.HasField("model") else None,
        _proto(swap.proto) if swap.HasField("proto") else None,
    )


def _model(model):
    if not model.uri:
        raise _Malformed
    return _digest(model.sha256)


def _proto(proto):
    source = proto.WhichOneof("source")
    if source is None:
        raise _Malformed
    if source == "uri":
        return _digest(proto.sha256)
    content = proto.text.encode() if source == "text" else proto.descriptor_set
    digest = hashlib.sha256(content).hexdigest()
    if proto.sha256 and proto.sha256.lower() != digest:
        raise _Malformed
    return digest


def _digest(text):
    if len(text) != 64 or not set(text.lower()) <= set("0123456789abcdef"):
        raise _Malformed
    return text.lower()


def _milliseconds(stamp):
    return stamp.seconds * 1000 + stamp.nanos // 1_000_000
