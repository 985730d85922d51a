"""Converts records of the control topic (protos/hotswap/v1/control.proto) to the values of swap/command.py and back."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypedDict

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.parts import configuration_message, configuration_of, golden_of, model_of, proto_message, proto_of
from hotswap.swap.command import (
    MOST_VERSION,
    SHADOWS,
    STAGED,
    VERSION,
    AbandonCommand,
    Command,
    LaterCommand,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    ShadowCommand,
    SkipCommand,
    SwapCommand,
    TrustCommand,
    version_of,
)
from hotswap.swap.sample import MILLION, Sampling, Shadowed
from hotswap.v1 import control_pb2 as wire

_NO_CUT: Mapping[int, int] = MappingProxyType({})
_SINCE = {"promote": STAGED, "abandon": STAGED, "shadow": SHADOWS}  # the kinds that came after version 1
_LONGEST_ID = 200  # ids are part of the status topic's keys and messages, which are bounded


class BadCommand(SwapError):
    """Report the code to the sender: the command has nothing that could be acted on, and its id stays unused."""

    def __init__(self, error: SwapError, message: wire.Command) -> None:
        super().__init__(error.code, error.message)
        kind = message.WhichOneof("kind")
        self.command_id = message.command_id[:_LONGEST_ID]
        self.generation: int = getattr(getattr(message, kind), "generation", 0) if kind else 0


def encode_command(deployment: str, command: Command) -> bytes:
    """Encode a command as the value of a control record; the record's key is `<deployment>/<generation>`.

    Raises:
        UsageError: a number is too large for its field, or a text is not valid Unicode.

    """
    try:
        return _message(deployment, command).SerializeToString()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"the command has a value that cannot be encoded: {error}") from error


def _message(deployment: str, command: Command) -> wire.Command:
    message = wire.Command(command_id=command.command_id, deployment=deployment, rules=command.rules)
    if (version := version_of(command)) > 1:
        message.least_version = version
    if isinstance(command, PromoteCommand):
        promote = wire.Promote(generation=command.generation, offsets=command.cut, complete=command.is_complete)
        message.promote.CopyFrom(promote)
    elif isinstance(command, AbandonCommand):
        abandon = wire.Abandon(generation=command.generation, abandoned=command.abandoned, to=command.to)
        abandon.offsets.update(command.cut)
        message.abandon.CopyFrom(abandon)
    elif isinstance(command, ShadowCommand):
        message.shadow.CopyFrom(_shadow_message(command.shadowed))
    elif isinstance(command, SkipCommand):
        message.skip.CopyFrom(wire.Skip(partition=command.partition, offset=command.offset))
    elif isinstance(command, TrustCommand):
        message.trust.CopyFrom(wire.Trust(revoked=command.revoked))
    elif isinstance(command, PauseCommand):
        (message.pause if command.is_paused else message.resume).SetInParent()
    elif isinstance(command, RollbackCommand):
        message.rollback.CopyFrom(wire.Rollback(generation=command.generation, to=command.to))
        _set_cut(message.rollback, command)
    else:
        message.swap.CopyFrom(_swap_message(command))
        _set_cut(message.swap, command)
    return message


def command_for(deployment: str, value: bytes | None, version: int = VERSION) -> Command | LaterCommand | None:
    """Decode a control record's command; None, without reading the rest, if it is for another deployment.

    Nor is the rest read of one that needs a later `version` of the contract.

    Raises:
        SwapError: see `decode_command`.

    """
    with contextlib.suppress(DecodeError):  # decode_command reports it
        address = wire.CommandAddress.FromString(value or b"")
        if value is not None and address.deployment != deployment:
            return None
        if version < address.least_version <= MOST_VERSION:
            return LaterCommand(address.command_id[:_LONGEST_ID].decode(errors="replace"), address.least_version)
    return decode_command(value)[1]


def decode_command(value: bytes | None) -> tuple[str, Command]:
    """Decode a control record to its deployment and command.

    Raises:
        SwapError: MALFORMED, with the reason; nothing in it can be acted on. A BadCommand if its sender is known.

    """
    if value is None:
        raise SwapError(SwapCode.MALFORMED, "the record has no value")
    try:
        message = wire.Command.FromString(value)
    except DecodeError as error:
        raise SwapError(SwapCode.MALFORMED, "the value is not a hotswap.v1.Command message") from error
    try:
        return message.deployment, _decode(message)
    except SwapError as error:
        raise BadCommand(error, message) from error


def _decode(message: wire.Command) -> Command:
    kind = message.WhichOneof("kind")
    if kind is None or message.least_version < _SINCE.get(kind, 0):
        raise SwapError(SwapCode.MALFORMED, "the command has none of swap, rollback, pause, resume")
    _check_envelope(message)
    if kind in _SINCE:
        return _decode_later(message)
    if kind in ("pause", "resume"):
        return PauseCommand(command_id=message.command_id, is_paused=kind == "pause", rules=message.rules)
    if kind == "trust":
        revoked = tuple(message.trust.revoked)
        return TrustCommand(command_id=message.command_id, revoked=revoked, rules=message.rules)
    if kind == "skip":
        skip = message.skip
        return SkipCommand(
            command_id=message.command_id, partition=skip.partition, offset=skip.offset, rules=message.rules
        )
    if kind == "rollback":
        rollback = message.rollback
        return RollbackCommand(
            command_id=message.command_id,
            generation=rollback.generation,
            to=rollback.to,
            rules=message.rules,
            **_cut(rollback, message.least_version),
        )
    return _decode_swap(message)


def _decode_swap(message: wire.Command) -> SwapCommand:
    swap = message.swap
    has_golden = swap.HasField("golden") and message.least_version >= STAGED
    return SwapCommand(
        command_id=message.command_id,
        generation=swap.generation,
        base=swap.base,
        model=model_of(swap.model) if swap.HasField("model") else None,
        proto=proto_of(swap.proto) if swap.HasField("proto") else None,
        configuration=configuration_of(swap.configuration) if swap.HasField("configuration") else None,
        samples=tuple(swap.samples),
        not_after_ms=_milliseconds(swap.not_after, "not_after") if swap.HasField("not_after") else None,
        deadline_ms=swap.deadline_ms or None,
        golden=golden_of(swap.golden) if has_golden else None,
        rules=message.rules,
        **_cut(swap, message.least_version),
    )


def _decode_later(message: wire.Command) -> Command:
    """Decode a command of a kind that came after version 1 of the contract."""
    if message.HasField("shadow"):
        return ShadowCommand(command_id=message.command_id, shadowed=_shadowed(message.shadow), rules=message.rules)
    if message.HasField("abandon"):
        abandon = message.abandon
        return AbandonCommand(
            command_id=message.command_id,
            generation=abandon.generation,
            abandoned=abandon.abandoned,
            to=abandon.to,
            cut=dict(abandon.offsets),
            rules=message.rules,
        )
    promote = message.promote
    if not promote.offsets and not promote.complete:
        raise SwapError(SwapCode.MALFORMED, "the promote names no partition")
    return PromoteCommand(
        command_id=message.command_id,
        generation=promote.generation,
        cut=dict(promote.offsets),
        is_complete=promote.complete,
        rules=message.rules,
    )


def _shadowed(message: wire.Shadow) -> Shadowed:
    if not message.of or not message.requests:
        raise SwapError(SwapCode.MALFORMED, "the shadow names no deployment, or no topic of its requests")
    if message.per_million > MILLION:
        raise SwapError(SwapCode.MALFORMED, f"per_million is {message.per_million}, of {MILLION}")
    sample = Sampling(frozenset(message.partitions), message.per_million)
    return Shadowed(message.of, message.requests, sample)


def _shadow_message(shadowed: Shadowed) -> wire.Shadow:
    sample = shadowed.sample
    return wire.Shadow(
        of=shadowed.of,
        requests=shadowed.requests,
        partitions=sorted(sample.partitions),
        per_million=sample.per_million,
    )


def _check_envelope(message: wire.Command) -> None:
    if message.least_version > MOST_VERSION:
        why = f"least_version is {message.least_version}, and there is no version beyond {MOST_VERSION}, ever"
        raise SwapError(SwapCode.MALFORMED, why)
    if len(message.command_id) > _LONGEST_ID:
        raise SwapError(SwapCode.MALFORMED, f"the command_id has more than {_LONGEST_ID} characters: use a UUID")


def _milliseconds(time: Timestamp, field: str) -> int:
    try:
        return time.ToMilliseconds()
    except ValueError as error:  # a Timestamp on the wire may be out of range
        raise SwapError(SwapCode.MALFORMED, f"{field} is no time: {error}") from error


def _swap_message(command: SwapCommand) -> wire.Swap:
    message = wire.Swap(
        generation=command.generation,
        base=command.base,
        samples=command.samples,
        deadline_ms=command.deadline_ms or 0,
    )
    if command.model:
        model = command.model
        message.model.CopyFrom(wire.Model(uri=model.uri, sha256=model.sha256, kind=model.kind, name=model.name))
    if command.proto:
        message.proto.CopyFrom(proto_message(command.proto))
    if command.configuration:
        message.configuration.CopyFrom(configuration_message(command.configuration))
    if command.golden is not None:
        message.golden.CopyFrom(wire.Golden(uri=command.golden.uri, sha256=command.golden.sha256))
    if command.not_after_ms is not None:
        message.not_after.FromDatetime(datetime.fromtimestamp(command.not_after_ms / 1000, UTC))
    return message


def _set_cut(message: wire.Swap | wire.Rollback, command: SwapCommand | RollbackCommand) -> None:
    if command.cut:
        message.cut_over.offsets.update(command.cut)
    if command.is_staged:
        message.cut_over.staged = True
        if command.promote_by_ms is not None:
            message.cut_over.promote_by.FromDatetime(datetime.fromtimestamp(command.promote_by_ms / 1000, UTC))


class _CutOver(TypedDict):
    """What swaps and rollbacks have in common."""

    cut: Mapping[int, int]
    is_staged: bool
    promote_by_ms: int | None


def _cut(message: wire.Swap | wire.Rollback, least_version: int) -> _CutOver:
    cut_over = message.cut_over
    is_staged = cut_over.staged and least_version >= STAGED
    until = _milliseconds(cut_over.promote_by, "promote_by") if is_staged and cut_over.HasField("promote_by") else None
    return {"cut": dict(cut_over.offsets) or _NO_CUT, "is_staged": is_staged, "promote_by_ms": until}
