"""Records of the control topic, encoded and decoded."""

from dataclasses import replace

import pytest

from hotswap.commands import command_for, decode_command, encode_command
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, Model, Policy, Proto, frozen
from hotswap.swap.command import PauseCommand, RollbackCommand, SwapCommand
from hotswap.v1 import control_pb2 as wire

FULL = SwapCommand(
    command_id="id",
    generation=7,
    base=3,
    model=Model("s3://bucket/m.zip", "ab" * 32, "h2o"),
    proto=Proto.inline("syntax = 'proto3';"),
    configuration=Configuration(
        columns=frozen({"a": "b.c"}),
        outputs=frozen({"o": "p"}),
        missing=Policy.REFUSE,
        mistyped=Policy.ACCEPT,
        unknown_category=Policy.REFUSE,
        max_batch_records=5,
        max_request_bytes=6,
        deadline_ms=7,
        runtime=frozen({"k": "v"}),
    ),
    samples=(b"one", b""),
    cut={0: 10, 3: 0},
    not_after_ms=1_700_000_000_123,
    deadline_ms=9,
)


@pytest.mark.parametrize(
    "command",
    [
        FULL,
        SwapCommand(command_id="id", generation=1),
        SwapCommand(command_id="id", generation=1, proto=Proto.inline(b"\x0a", is_descriptor_set=True)),
        SwapCommand(command_id="id", generation=1, proto=Proto("cd" * 32, uri="s3://bucket/p.proto")),
        RollbackCommand(command_id="id", generation=4, to=2, cut={1: 5}),
        PauseCommand(command_id="id", is_paused=True),
        PauseCommand(command_id="id", is_paused=False),
        PauseCommand(command_id="id", is_paused=True, rules=1),
        RollbackCommand(command_id="id", generation=4, to=2, rules=1),
        SwapCommand(command_id="id", generation=2**64 - 1, rules=2**32 - 1),
    ],
)
def test_an_encoded_command_decodes_to_itself(command):
    assert decode_command(encode_command("churn", command)) == ("churn", command)


@pytest.mark.parametrize(
    "command",
    [
        SwapCommand(command_id="id", generation=2**64),
        SwapCommand(command_id="id", generation=1, base=-1),
        SwapCommand(command_id="id", generation=1, deadline_ms=2**32),
        SwapCommand(command_id="id", generation=1, cut={0: -1}),
        SwapCommand(command_id="id", generation=1, not_after_ms=10**18),
        SwapCommand(command_id="\udcff", generation=1),
        RollbackCommand(command_id="id", generation=1, to=2**64),
    ],
)
def test_a_value_that_does_not_fit_its_field_is_a_usage_error(command):
    with pytest.raises(UsageError, match="cannot be encoded"):
        encode_command("churn", command)


def test_commands_share_what_is_equal_since_every_generation_is_kept():
    value = encode_command("fraud", replace(FULL, cut={}))
    (_, one), (_, other) = decode_command(value), decode_command(bytes(bytearray(value)))
    assert one.cut is other.cut
    assert all(getattr(one.model, part) is getattr(other.model, part) for part in ("uri", "sha256", "kind", "name"))


def test_another_deployments_command_is_skipped_whatever_else_it_holds():
    mine, good = wire.Command(command_id="id", deployment="churn"), encode_command("churn", FULL)
    assert command_for("churn", good) == FULL
    assert command_for("churn", encode_command("churn2", FULL)) is None
    assert command_for("churn", mine.SerializeToString() + encode_command("churn2", FULL)) is None
    assert command_for("churn", swap(model=wire.Model())) is None
    with pytest.raises(SwapError, match="none of swap"):
        command_for("churn", mine.SerializeToString())


def test_missing_parts_of_a_configuration_have_safe_defaults():
    message = wire.Command(command_id="id", deployment="d")
    message.swap.configuration.SetInParent()
    _, command = decode_command(message.SerializeToString())
    assert command.configuration == Configuration(
        missing=Policy.ACCEPT, mistyped=Policy.REFUSE, unknown_category=Policy.ACCEPT
    )


def swap(**parts):
    message = wire.Command(command_id="id", deployment="d")
    message.swap.generation = 1
    for name, part in parts.items():
        getattr(message.swap, name).CopyFrom(part)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("value", "code", "says"),
    [
        (None, "MALFORMED", "has no value"),
        (b"\xff\xff", "MALFORMED", "not a hotswap.v1.Command"),
        (wire.Command(command_id="x").SerializeToString(), "MALFORMED", "none of swap"),
        (swap(model=wire.Model(uri="file:///m", sha256="abc")), "MALFORMED", "64 hexadecimal digits"),
        (swap(model=wire.Model(uri="ftp://me:pw@h/m", sha256="abc")), "MALFORMED", "model ftp://h/m: "),
        (swap(proto=wire.Proto(uri="ftp://me:pw@h/p", sha256="abc")), "MALFORMED", "proto ftp://h/p: "),
        (swap(model=wire.Model(sha256="ab" * 32)), "MALFORMED", "no uri"),
        (swap(proto=wire.Proto(sha256="ab" * 32)), "MALFORMED", "none of text"),
        (swap(proto=wire.Proto(uri="s3://p")), "MALFORMED", "64 hexadecimal digits"),
        (swap(proto=wire.Proto(text="x", sha256="ab" * 32)), "DIGEST_MISMATCH", "SHA-256"),
    ],
)
def test_a_record_that_cannot_be_acted_on_is_refused_with_the_reason(value, code, says):
    with pytest.raises(SwapError, match=says) as caught:
        decode_command(value)
    assert caught.value.code == code
