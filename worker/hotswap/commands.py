"""Converts records of the control topic (protos/hotswap/v1/control.proto) to the values of swap.py and back."""

import contextlib
import hashlib
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from hotswap.artifacts.places import without_secrets
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.generation import Configuration, Model, Policy, Proto, TextOptions, frozen
from hotswap.swap import (
    MOST_VERSION,
    VERSION,
    Command,
    LaterCommand,
    PauseCommand,
    RollbackCommand,
    SkipCommand,
    SwapCommand,
    TrustCommand,
)
from hotswap.v1 import control_pb2 as wire

_POLICIES = {Policy.ACCEPT: wire.POLICY_ACCEPT, Policy.REFUSE: wire.POLICY_REFUSE}
_SHA256_DIGITS = 64
_LONGEST_NAME = 100
_NO_CUT: Mapping[int, int] = MappingProxyType({})
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
    if isinstance(command, SkipCommand):
        message.skip.CopyFrom(wire.Skip(partition=command.partition, offset=command.offset))
    elif isinstance(command, TrustCommand):
        message.trust.CopyFrom(wire.Trust(revoked=command.revoked))
    elif isinstance(command, PauseCommand):
        (message.pause if command.is_paused else message.resume).SetInParent()
    elif isinstance(command, RollbackCommand):
        message.rollback.CopyFrom(wire.Rollback(generation=command.generation, to=command.to))
        _set_cut(message.rollback, command.cut)
    else:
        message.swap.CopyFrom(_swap_message(command))
        _set_cut(message.swap, command.cut)
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
    if kind is None:
        raise SwapError(SwapCode.MALFORMED, "the command has none of swap, rollback, pause, resume")
    _check_envelope(message)
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
            cut=_cut(rollback),
            rules=message.rules,
        )
    swap = message.swap
    return SwapCommand(
        command_id=message.command_id,
        generation=swap.generation,
        base=swap.base,
        model=_model(swap.model) if swap.HasField("model") else None,
        proto=_proto(swap.proto) if swap.HasField("proto") else None,
        configuration=_configuration(swap.configuration) if swap.HasField("configuration") else None,
        samples=tuple(swap.samples),
        cut=_cut(swap),
        not_after_ms=_milliseconds(swap.not_after) if swap.HasField("not_after") else None,
        deadline_ms=swap.deadline_ms or None,
        rules=message.rules,
    )


def _check_envelope(message: wire.Command) -> None:
    if message.least_version > MOST_VERSION:
        why = f"least_version is {message.least_version}, and there is no version beyond {MOST_VERSION}, ever"
        raise SwapError(SwapCode.MALFORMED, why)
    if len(message.command_id) > _LONGEST_ID:
        raise SwapError(SwapCode.MALFORMED, f"the command_id has more than {_LONGEST_ID} characters: use a UUID")


def _milliseconds(time: Timestamp) -> int:
    try:
        return time.ToMilliseconds()
    except ValueError as error:  # a Timestamp on the wire may be out of range
        raise SwapError(SwapCode.MALFORMED, f"not_after is no time: {error}") from error


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
        message.proto.CopyFrom(_proto_message(command.proto))
    if command.configuration:
        message.configuration.CopyFrom(_configuration_message(command.configuration))
    if command.not_after_ms is not None:
        message.not_after.FromDatetime(datetime.fromtimestamp(command.not_after_ms / 1000, UTC))
    return message


def _proto_message(proto: Proto) -> wire.Proto:
    message = wire.Proto(sha256=proto.sha256)
    if proto.source is None:
        message.uri = proto.uri or ""
    elif proto.is_descriptor_set:
        message.descriptor_set = proto.source
    else:
        message.text = proto.source.decode()
    return message


def _configuration_message(configuration: Configuration) -> wire.Configuration:
    return wire.Configuration(
        columns=configuration.columns,
        outputs=configuration.outputs,
        missing=_POLICIES[configuration.missing],
        mistyped=_POLICIES[configuration.mistyped],
        unknown_category=_POLICIES[configuration.unknown_category],
        max_batch_records=configuration.max_batch_records or 0,
        max_request_bytes=configuration.max_request_bytes or 0,
        deadline_ms=configuration.deadline_ms or 0,
        runtime=configuration.runtime,
        text=_text_message(configuration.text),
    )


def _text_message(text: TextOptions) -> wire.Text | None:
    if text == TextOptions():
        return None
    return wire.Text(delimiter=text.delimiter, missing=sorted(text.missing - {""}), ignore_unknown=not text.is_strict)


def _set_cut(message: wire.Swap | wire.Rollback, cut: Mapping[int, int]) -> None:
    if cut:
        message.cut_over.offsets.update(cut)


def _cut(message: wire.Swap | wire.Rollback) -> Mapping[int, int]:
    return dict(message.cut_over.offsets) or _NO_CUT


def _model(model: wire.Model) -> Model:
    _check_digest(model.sha256, f"model {without_secrets(model.uri)}")
    if not model.uri:
        raise SwapError(SwapCode.MALFORMED, "the model has no uri")
    # Interned, since a worker keeps every generation, and most of them share these with earlier ones.
    parts = model.uri, model.sha256.lower(), model.kind or "h2o", model.name[:_LONGEST_NAME]
    return Model(*map(sys.intern, parts))


def _proto(proto: wire.Proto) -> Proto:
    source = proto.WhichOneof("source")
    if source == "uri":
        _check_digest(proto.sha256, f"proto {without_secrets(proto.uri)}")
        return Proto(proto.sha256.lower(), uri=proto.uri, is_descriptor_set=proto.uri.endswith((".desc", ".binpb")))
    if source is None:
        raise SwapError(SwapCode.MALFORMED, "the proto has none of text, descriptor_set, uri")
    content = proto.text.encode() if source == "text" else proto.descriptor_set
    digest = hashlib.sha256(content).hexdigest()
    if proto.sha256 and proto.sha256.lower() != digest:
        raise SwapError(SwapCode.DIGEST_MISMATCH, f"the proto has SHA-256 {digest}, the command says {proto.sha256}")
    return Proto(digest, source=content, is_descriptor_set=source == "descriptor_set")


def _configuration(message: wire.Configuration) -> Configuration:
    default = Configuration()
    return Configuration(
        columns=frozen(message.columns),
        outputs=frozen(message.outputs),
        missing=_policy(message.missing, default.missing),
        mistyped=_policy(message.mistyped, default.mistyped),
        unknown_category=_policy(message.unknown_category, default.unknown_category),
        max_batch_records=message.max_batch_records or None,
        max_request_bytes=message.max_request_bytes or None,
        deadline_ms=message.deadline_ms or None,
        runtime=frozen(message.runtime),
        text=_text(message.text),
    )


def _text(message: wire.Text) -> TextOptions:
    if len(message.delimiter) > 1:
        raise SwapError(
            SwapCode.MALFORMED, f"configuration: text.delimiter is one character, not {message.delimiter!r}"
        )
    return TextOptions(
        delimiter=message.delimiter or ",",
        missing=frozenset({"", *message.missing}),
        is_strict=not message.ignore_unknown,
    )


def _policy(value: wire.Policy, default: Policy) -> Policy:
    return next((policy for policy, number in _POLICIES.items() if number == value), default)


def _check_digest(digest: str, what: str) -> None:
    if len(digest) != _SHA256_DIGITS or not set(digest.lower()) <= set("0123456789abcdef"):
        raise SwapError(
            SwapCode.MALFORMED, f"{what}: sha256 must be {_SHA256_DIGITS} hexadecimal digits, not {digest!r}"
        )
