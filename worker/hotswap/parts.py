"""Converts the parts of a generation, as control.proto has them, to the values of generation.py and back."""

import hashlib
import sys

from hotswap.artifacts.places import without_secrets
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration, Golden, Model, Policy, Proto, TextOptions, frozen
from hotswap.v1 import control_pb2 as wire

_POLICIES = {Policy.ACCEPT: wire.POLICY_ACCEPT, Policy.REFUSE: wire.POLICY_REFUSE}
_SHA256_DIGITS = 64
_LONGEST_NAME = 100


def proto_message(proto: Proto) -> wire.Proto:
    """Encode a proto."""
    message = wire.Proto(sha256=proto.sha256)
    if proto.source is None:
        message.uri = proto.uri or ""
    elif proto.is_descriptor_set:
        message.descriptor_set = proto.source
    else:
        message.text = proto.source.decode()
    return message


def configuration_message(configuration: Configuration) -> wire.Configuration:
    """Encode a configuration."""
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


def golden_of(golden: wire.Golden) -> Golden:
    """Decode golden answers. Raises SwapError, MALFORMED, if it cannot be."""
    if not golden.uri:
        return Golden()
    _check_digest(golden.sha256, f"golden answers {without_secrets(golden.uri)}")
    return Golden(golden.uri, golden.sha256.lower())


def model_of(model: wire.Model) -> Model:
    """Decode a model. Raises SwapError, MALFORMED, if it cannot be."""
    _check_digest(model.sha256, f"model {without_secrets(model.uri)}")
    if not model.uri:
        raise SwapError(SwapCode.MALFORMED, "the model has no uri")
    # Interned, since a worker keeps every generation, and most of them share these with earlier ones.
    parts = model.uri, model.sha256.lower(), model.kind or "h2o", model.name[:_LONGEST_NAME]
    return Model(*map(sys.intern, parts))


def proto_of(proto: wire.Proto) -> Proto:
    """Decode a proto. Raises SwapError: MALFORMED, or DIGEST_MISMATCH if it is not what its digest says."""
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


def configuration_of(message: wire.Configuration) -> Configuration:
    """Decode a configuration. Raises SwapError, MALFORMED, if it cannot be."""
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
