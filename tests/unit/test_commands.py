"""Records of the control topic, encoded and decoded."""

from dataclasses import replace

import pytest

from hotswap.commands import BadCommand, command_for, decode_command, encode_command
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, Golden, Model, Policy, Proto, frozen
from hotswap.swap.command import (
    AbandonCommand,
    LaterCommand,
    PauseCommand,
    PromoteCommand,
    RollbackCommand,
    SwapCommand,
)
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

LATER = [
    replace(FULL, is_staged=True, promote_by_ms=1_700_000_000_456),
    SwapCommand(command_id="id", generation=2, is_staged=True),
    SwapCommand(command_id="id", generation=2, golden=Golden("s3://bucket/g.json", "ef" * 32)),
    SwapCommand(command_id="id", generation=2, golden=Golden()),
    RollbackCommand(command_id="id", generation=4, to=2, cut={1: 5}, is_staged=True, promote_by_ms=1),
    PromoteCommand(command_id="id", generation=4, cut={0: 0, 7: 2**63}),
    PromoteCommand(command_id="id", generation=4, is_complete=True, rules=1),
    AbandonCommand(command_id="id", generation=5, abandoned=4),
    AbandonCommand(command_id="id", generation=5, abandoned=4, to=2, cut={1: 9}, rules=1),
]
"""Commands that need version 2 of the contract."""


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
        *LATER,
    ],
)
def test_an_encoded_command_decodes_to_itself(command):
    assert decode_command(encode_command("churn", command)) == ("churn", command)


def test_a_command_names_version_2_where_it_needs_it_and_nothing_where_it_does_not():
    named = [wire.Command.FromString(encode_command("churn", command)).least_version for command in (FULL, *LATER)]
    assert named == [0, *[2] * len(LATER)]


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


# ---- what came with version 2


def of_version(value, version):
    message = wire.Command.FromString(value)
    message.least_version = version
    return message.SerializeToString()


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize(
    ("command", "plain"),
    [
        (LATER[0], FULL),
        (LATER[1], SwapCommand(command_id="id", generation=2)),
        (LATER[2], SwapCommand(command_id="id", generation=2)),
        (LATER[3], SwapCommand(command_id="id", generation=2)),
        (LATER[4], RollbackCommand(command_id="id", generation=4, to=2, cut={1: 5})),
    ],
    ids=["a staged swap with all it can have", "a staged swap", "golden answers", "no golden answers", "a rollback"],
)
def test_what_came_with_version_2_is_not_read_where_version_1_is_named(command, plain, version):
    assert decode_command(of_version(encode_command("churn", command), version)) == ("churn", plain)


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("command", [one for one in LATER if isinstance(one, PromoteCommand | AbandonCommand)])
def test_a_promote_or_abandon_that_names_version_1_is_refused_in_the_words_of_version_1(command, version):
    with pytest.raises(SwapError) as refused:
        decode_command(of_version(encode_command("churn", command), version))
    unknown = wire.Command(command_id="id", deployment="churn").SerializeToString()  # as version 1 reads it
    with pytest.raises(SwapError) as as_ever:
        decode_command(unknown)
    assert (refused.value.code, refused.value.message) == (as_ever.value.code, as_ever.value.message)
    assert refused.value.code == "MALFORMED"


def test_a_wrong_part_that_version_1_does_not_have_refuses_nothing_there():
    message = wire.Command(command_id="id", deployment="churn")
    message.swap.generation = 2
    message.swap.golden.CopyFrom(wire.Golden(uri="s3://bucket/g.json", sha256="no digest"))
    message.swap.cut_over.staged = True
    message.swap.cut_over.promote_by.seconds = 1 << 62
    assert decode_command(message.SerializeToString())[1] == SwapCommand(command_id="id", generation=2)
    message.least_version = 2
    with pytest.raises(SwapError, match="golden answers s3://bucket/g") as refused:
        decode_command(message.SerializeToString())
    assert refused.value.code == "MALFORMED"
    message.swap.ClearField("golden")
    with pytest.raises(SwapError, match="promote_by is no time") as refused:
        decode_command(message.SerializeToString())
    assert refused.value.code == "MALFORMED"


def test_a_time_to_promote_by_is_that_of_a_staged_cut_over_alone():
    message = wire.Command(command_id="id", deployment="churn", least_version=2)
    message.rollback.generation, message.rollback.to = 2, 1
    message.rollback.cut_over.promote_by.seconds = 1 << 62
    assert decode_command(message.SerializeToString())[1] == RollbackCommand(command_id="id", generation=2, to=1)


def test_a_promote_that_names_nothing_is_malformed():
    message = wire.Command(command_id="id", deployment="churn", least_version=2)
    message.promote.generation = 2
    with pytest.raises(BadCommand, match="the promote names no partition") as refused:
        decode_command(message.SerializeToString())
    assert (refused.value.code, refused.value.generation) == ("MALFORMED", 2)
    message.promote.offsets[0] = 0
    assert decode_command(message.SerializeToString())[1].cut == {0: 0}


def test_the_digest_of_golden_answers_is_read_in_either_case():
    command = SwapCommand(command_id="id", generation=2, golden=Golden("s3://bucket/g.json", "EF" * 32))
    assert decode_command(encode_command("churn", command))[1].golden == Golden("s3://bucket/g.json", "ef" * 32)


@pytest.mark.parametrize("command", LATER, ids=lambda command: type(command).__name__)
def test_who_knows_version_1_alone_folds_nothing_of_them(command):
    value = encode_command("churn", command)
    assert command_for("churn", value, 1) == LaterCommand("id", 2)
    assert command_for("churn", value, 2) == command
