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
_STAGED = 2  # the version that brought staged cut-overs, the newest so far
_MOST_VERSION = 1_000
_LATER = ("promote", "abandon")


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
    golden: tuple[str, str] | None
    samples: tuple[bytes, ...]
    number: int = 0
    cut: dict[int, int] = {}  # noqa: RUF012 - never changed
    timestamp_ms: int = 0
    is_staged: bool = False
    promote_by_ms: int | None = None
    replaces: int = 0
    """The abandoned generation whose partitions it has, and no others; 0: it is no such one."""
    abandoned_ms: int | None = None
    """When it was abandoned; None: it was not."""
    promoted_ms: dict[int, int] = {}  # noqa: RUF012 - never changed
    """Partition -> when its cut was last lowered."""

    def begins(self, partition):
        """Return the first offset that the generation may answer; None: it has none of this partition."""
        return self.cut.get(partition, None if self.is_staged else 0)

    def known_ms(self, partition):
        """Return when the partition's cut was said."""
        return self.promoted_ms.get(partition, self.timestamp_ms)


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
        self._is_held = False

    @property
    def newest(self):
        return next(reversed(self.accepted), 0)

    def receive(self, value, timestamp_ms):
        """Fold the next record and return the verdict; None if there is nobody to answer."""
        try:
            command = Command.FromString(value or b"")
        except DecodeError:
            return None
        if command.deployment != self._deployment or self._is_held:
            return None
        kind = command.WhichOneof("kind")
        generation = getattr(getattr(command, kind), "generation", 0) if kind else 0
        if _STAGED < command.least_version <= _MOST_VERSION:
            self._is_held = True
            return Verdict(command.command_id[:_LONGEST_ID], 0, "HELD")
        _leave_what_is_later(command)
        kind = command.WhichOneof("kind")
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
        if kind == "promote":
            self._promote(order, timestamp_ms)
            return "APPLIED"
        if order.generation <= self.newest:
            raise Refused("STALE")
        if self._is_marked and order.generation > self.newest + (1 << 53):
            raise Refused("OUT_OF_RANGE")
        if kind == "abandon":
            self._abandon(order, timestamp_ms)
            return "APPLIED"
        parts = self._of(order.to) if kind == "rollback" else self._inherit(order, timestamp_ms)
        over = order.cut_over
        self._accept(
            order.generation,
            parts,
            dict(over.offsets),
            timestamp_ms,
            is_staged=over.staged,
            promote_by_ms=_milliseconds(over.promote_by) if over.HasField("promote_by") else None,
        )
        return ""

    def _accept(self, number, parts, cut, timestamp_ms, **more):
        self.accepted[number] = Parts(*parts[:5], number, cut, timestamp_ms, **more)

    def _promote(self, order, timestamp_ms):
        made = self._newest_one(order.generation)
        if made.promote_by_ms is not None and timestamp_ms > made.promote_by_ms:
            raise Refused("EXPIRED")
        cut, promoted = dict(made.cut), dict(made.promoted_ms)
        for partition, offset in order.offsets.items():
            begins = made.begins(partition)
            if begins is None or offset < begins:
                cut[partition], promoted[partition] = offset, timestamp_ms
        is_staged = made.is_staged and not order.complete
        self.accepted[made.number] = made._replace(cut=cut, promoted_ms=promoted, is_staged=is_staged)

    def _abandon(self, order, timestamp_ms):
        ended = self._newest_one(order.abandoned)
        earlier = [
            parts.number for parts in self.accepted.values() if parts is not ended and parts.abandoned_ms is None
        ]
        source = order.to or max(earlier, default=0)
        if source == ended.number:
            raise Refused("UNKNOWN_BASE")
        parts = self._of(source)
        self.accepted[ended.number] = ended._replace(abandoned_ms=timestamp_ms)
        self._accept(order.generation, parts, dict(order.offsets), timestamp_ms, replaces=ended.number)

    def _newest_one(self, number):
        made = self._of(number)
        if number != self.newest:
            raise Refused("STALE")
        return made

    def _of(self, number):
        if number not in self.accepted:
            raise Refused("UNKNOWN_BASE")
        return self.accepted[number]

    def _inherit(self, swap, timestamp_ms):
        if swap.HasField("not_after") and timestamp_ms > _milliseconds(swap.not_after):
            raise Refused("EXPIRED")
        base = self._of(swap.base or self.newest) if swap.base or self.accepted else None
        if base is None and not (swap.HasField("model") and swap.HasField("proto")):
            raise Refused("INCOMPLETE")
        model, proto, configuration, golden = base[:4] if base else ((), "", b"", None)
        if swap.HasField("model"):
            model = swap.model.uri, swap.model.sha256.lower(), swap.model.kind or "h2o"
        if swap.HasField("proto"):
            proto = _digest(swap.proto)
        if swap.HasField("configuration"):
            configuration = swap.configuration.SerializeToString(deterministic=True)
        if swap.HasField("golden"):
            golden = (swap.golden.uri, swap.golden.sha256.lower()) if swap.golden.uri else None
        return Parts(model, proto, configuration, golden, tuple(swap.samples))


def _leave_what_is_later(command):
    """Clear what came with a later version than the command names, and what means the same as nothing."""
    kind = command.WhichOneof("kind")
    is_later = command.least_version >= _STAGED
    if kind in ("swap", "rollback"):
        order = getattr(command, kind)
        if not is_later:
            order.cut_over.staged = False
        if not order.cut_over.staged:
            order.cut_over.ClearField("promote_by")
        if not order.cut_over.ByteSize():
            order.ClearField("cut_over")
        if kind == "swap" and not is_later:
            order.ClearField("golden")
    if kind in _LATER and not is_later:
        command.ClearField(kind)
    if command.least_version <= _MOST_VERSION:
        command.ClearField("least_version")


def _milliseconds(time):
    return time.seconds * 1_000 + time.nanos // 1_000_000


def _is_time(order, field):
    """Whether a field is a time, if it is there."""
    time = getattr(order, field)
    return not order.HasField(field) or (time.seconds in _TIMES_S and 0 <= time.nanos < 1_000_000_000)


def _wrong(command, kind):
    """Return the code for a fault of the command itself, whatever the log before it; empty if there is none."""
    if kind == "trust":
        return "NOT_TRUSTED"  # the workers that this follows have no trust file
    if not kind or command.least_version > _MOST_VERSION:
        return "MALFORMED"
    order = getattr(command, kind)
    if kind == "promote":
        return "" if order.offsets or order.complete else "MALFORMED"
    if kind in ("swap", "rollback") and not _is_time(order.cut_over, "promote_by"):
        return "MALFORMED"
    return _wrong_swap(order) if kind == "swap" else ""


def _wrong_swap(swap):
    source = swap.proto.WhichOneof("source")
    is_good = (
        _is_time(swap, "not_after"),
        not swap.HasField("model") or (swap.model.uri and _SHA256.fullmatch(swap.model.sha256)),
        not swap.HasField("proto") or source,
        source != "uri" or _SHA256.fullmatch(swap.proto.sha256),
        not swap.golden.uri or _SHA256.fullmatch(swap.golden.sha256),
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
