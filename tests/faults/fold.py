"""The verifier's own fold of the control topic, from control.proto alone: each command's verdict, and the final state.

It uses none of the worker's code, so that it cannot repeat a defect in the worker's reading or folding of commands.
"""

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from faults.oracle import compile_proto

_PROTO = Path(__file__).parents[2] / "protos" / "hotswap" / "v1" / "control.proto"
_FILE = compile_proto(_PROTO)
Command, Status = (message_factory.GetMessageClass(_FILE.message_types_by_name[name]) for name in ("Command", "Status"))
FAILED = _FILE.enum_types_by_name["Outcome"].values_by_name["OUTCOME_FAILED"].number

_SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
_TIMES_S = range(-62_135_596_800, 253_402_300_800)  # the range of a google.protobuf.Timestamp: the years 1 to 9999
_LONGEST_ID = 200


class Verdict(NamedTuple):
    """The verdict on a command, or a worker's outcome; `outcome` is empty if it was accepted."""

    command_id: str
    generation: int
    outcome: str
    code: str = ""


class Parts(NamedTuple):
    """An accepted generation: the model's URI, SHA-256 and kind, the proto's SHA-256, the rest serialized; its cut."""

    model: tuple[str, str, str]
    proto: str
    configuration: bytes
    samples: tuple[bytes, ...]
    number: int = 0
    cut: dict[int, int] = {}  # noqa: RUF012 - never changed
    timestamp_ms: int = 0


class Refused(Exception):
    """The command is not valid; its text is the code."""


class Fold:
    """The state that a control log defines, according to control.proto: what every worker must reach."""

    def __init__(self, deployment):
        self.accepted = {}
        self.is_paused = False
        self.verdicts = []
        self.trace = []
        """After each verdict: the newest generation, and whether there is a pause."""
        self._deployment = deployment
        self._first = {}
        self._is_marked = False

    @property
    def newest(self):
        return next(reversed(self.accepted), 0)

    def receive(self, value, timestamp_ms):
        """Fold the next record and return the verdict; None if there is nobody to answer."""
        try:
            command = Command.FromString(value or b"")
        except DecodeError:
            return None
        if command.deployment != self._deployment:
            return None
        kind = command.WhichOneof("kind")
        generation = getattr(getattr(command, kind), "generation", 0) if kind else 0
        verdict = Verdict(command.command_id[:_LONGEST_ID], generation, *self._decide(command, kind, timestamp_ms))
        self.verdicts.append(verdict)
        self.trace.append((self.newest, self.is_paused))
        return verdict

    def _decide(self, command, kind, timestamp_ms):
        if not 0 < len(command.command_id) <= _LONGEST_ID:
            return "REFUSED", "MALFORMED"
        # A malformed command does not use up its id: its sender may correct it and send it again.
        if wrong := _wrong(command, kind):
            return "REFUSED", wrong
        self._is_marked |= command.rules > 0
        content = command.SerializeToString(deterministic=True)
        if command.command_id in self._first:
            first, code = self._first[command.command_id]
            return ("DUPLICATE", code) if first == content else ("REFUSED", "EQUIVOCATION")
        try:
            outcome, code = self._apply(command, kind, timestamp_ms), ""
        except Refused as refused:
            outcome, code = "REFUSED", str(refused)
        self._first[command.command_id] = content, code
        return outcome, code

    def _apply(self, command, kind, timestamp_ms):
        if kind in ("pause", "resume"):
            self.is_paused = kind == "pause"
            return "APPLIED"
        order = getattr(command, kind)
        if order.generation <= self.newest:
            raise Refused("STALE")
        if self._is_marked and order.generation > self.newest + (1 << 53):
            raise Refused("OUT_OF_RANGE")
        parts = self._of(order.to) if kind == "rollback" else self._inherit(order, timestamp_ms)
        self.accepted[order.generation] = parts._replace(
            number=order.generation, cut=dict(order.cut_over.offsets), timestamp_ms=timestamp_ms
        )
        return ""

    def _of(self, number):
        if number not in self.accepted:
            raise Refused("UNKNOWN_BASE")
        return self.accepted[number]

    def _inherit(self, swap, timestamp_ms):
        until = swap.not_after
        if swap.HasField("not_after") and timestamp_ms > until.seconds * 1_000 + until.nanos // 1_000_000:
            raise Refused("EXPIRED")
        base = self._of(swap.base or self.newest) if swap.base or self.accepted else None
        if base is None and not (swap.HasField("model") and swap.HasField("proto")):
            raise Refused("INCOMPLETE")
        model, proto, configuration = base[:3] if base else ((), "", b"")
        if swap.HasField("model"):
            model = swap.model.uri, swap.model.sha256.lower(), swap.model.kind or "h2o"
        if swap.HasField("proto"):
            proto = _digest(swap.proto)
        if swap.HasField("configuration"):
            configuration = swap.configuration.SerializeToString(deterministic=True)
        return Parts(model, proto, configuration, tuple(swap.samples))


def _wrong(command, kind):
    """Return the code for a fault of the command itself, whatever the log before it; empty if there is none."""
    if kind == "trust":
        return "NOT_TRUSTED"  # the workers that this follows have no trust file
    if kind != "swap":
        return "" if kind else "MALFORMED"
    swap = command.swap
    until, source = swap.not_after, swap.proto.WhichOneof("source")
    is_good = (
        not swap.HasField("not_after") or (until.seconds in _TIMES_S and 0 <= until.nanos < 1_000_000_000),
        not swap.HasField("model") or (swap.model.uri and _SHA256.fullmatch(swap.model.sha256)),
        not swap.HasField("proto") or source,
        source != "uri" or _SHA256.fullmatch(swap.proto.sha256),
    )
    if not all(is_good):
        return "MALFORMED"
    is_inline = source in ("text", "descriptor_set")
    return "DIGEST_MISMATCH" if is_inline and swap.proto.sha256.lower() not in ("", _digest(swap.proto)) else ""


def _digest(proto):
    """Return the SHA-256 of a proto's source."""
    if proto.WhichOneof("source") == "uri":
        return proto.sha256.lower()
    return hashlib.sha256(proto.text.encode() or proto.descriptor_set).hexdigest()


def replay(deployment, log):
    """Fold a whole control log, (value, timestamp in ms) by record."""
    fold = Fold(deployment)
    for value, timestamp_ms in log:
        fold.receive(value, timestamp_ms)
    return fold
