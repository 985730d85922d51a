"""Readers handle whatever a Command, a Status, a header or a committed offset can carry; none of them breaks."""

import asyncio
import contextlib
import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fakes.kafka_logs import FakeAdmin, FakeCluster, FakeRecord
from hotswap.cli.main import main
from hotswap.client.answers import prediction_of, refused
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.errors import HotswapError
from hotswap.generation import MOST, Model, Proto
from hotswap.kafka.partition.witness import LastAnswer, answer_of
from hotswap.kafka.topics.committed import Committed, Lag, as_committed
from hotswap.settings import Settings
from hotswap.v1 import control_pb2 as wire

_EDGES = (0, 1, (1 << 32) - 1, 1 << 53, (1 << 53) + 1, 1 << 63, MOST)
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="[]"), max_size=8)  # markup: cli_shared's
_F = FieldDescriptor
_WHOLE = {_F.TYPE_INT32: (-(1 << 31), (1 << 31) - 1), _F.TYPE_INT64: (-(1 << 63), (1 << 63) - 1)}
_WHOLE |= {_F.TYPE_UINT32: (0, (1 << 32) - 1), _F.TYPE_UINT64: (0, MOST), _F.TYPE_ENUM: (-(1 << 31), (1 << 31) - 1)}
_ONE = SimpleNamespace(deployment="d", command_id="c", worker="w")


def scalars(field):
    if field.type in _WHOLE:
        least, most = _WHOLE[field.type]
        return st.sampled_from([edge for edge in _EDGES if edge <= most]) | st.integers(least, most)
    if field.type == _F.TYPE_STRING:
        same = getattr(_ONE, field.name, None)
        return st.just(same) if field.name == "deployment" else _TEXT | st.just(same or "x" * 40)
    return {_F.TYPE_BYTES: st.binary(max_size=8), _F.TYPE_BOOL: st.booleans(), _F.TYPE_DOUBLE: st.floats()}[field.type]


@st.composite
def messages(draw, kind):
    """Messages of any content; each field may be absent."""
    made = kind()
    for field in kind.DESCRIPTOR.fields:
        if field.containing_oneof and len(field.containing_oneof.fields) > 1:
            continue
        if field.name == "deployment" or draw(st.booleans()):
            fill(draw, made, field)
    for oneof in kind.DESCRIPTOR.oneofs:
        if len(oneof.fields) > 1 and draw(st.integers(0, 9)):
            fill(draw, made, draw(st.sampled_from(list(oneof.fields))))
    return made


def fill(draw, made, field):
    inner = field.message_type
    if inner and inner.GetOptions().map_entry:
        key, value = inner.fields
        if value.message_type:
            for name in draw(st.lists(scalars(key), max_size=2)):
                getattr(made, field.name)[name].CopyFrom(draw(messages(value.message_type._concrete_class)))
            return
        getattr(made, field.name).update(draw(st.dictionaries(scalars(key), scalars(value), max_size=2)))
    elif inner and field.is_repeated:
        getattr(made, field.name).extend(draw(st.lists(messages(inner._concrete_class), max_size=2)))
    elif inner:
        getattr(made, field.name).CopyFrom(draw(messages(inner._concrete_class)))
    elif field.is_repeated:
        getattr(made, field.name).extend(draw(st.lists(scalars(field), max_size=2)))
    else:
        setattr(made, field.name, draw(scalars(field)))


def whole(number):
    """An accepted swap, so that there is something to inherit, to roll back to, and to exceed."""
    command = wire.Command(command_id=f"first{number}", deployment="d")
    command.swap.generation = number
    command.swap.model.uri, command.swap.model.sha256 = "file:///m", "a" * 64
    command.swap.proto.text = "syntax = 'proto3';"
    return command


TIMES = st.sampled_from([0, -1, 1 << 62, -(1 << 62), 1_700_000_000_000]) | st.integers(-(1 << 63), (1 << 63) - 1)
COMMANDS = st.tuples(st.sampled_from(_EDGES).map(whole) | messages(wire.Command), TIMES)
SPOKEN = st.tuples(messages(wire.Status), TIMES)


@pytest.fixture
def given_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOTSWAP_STORE", (tmp_path / "store").as_uri())
    return Settings(deployment="d", cache=tmp_path / "cache", call_timeout_s=0.2)


@settings(max_examples=30, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(commands=st.lists(COMMANDS, max_size=6), spoken=st.lists(SPOKEN, max_size=6), floor=st.sampled_from(_EDGES))
def test_status_and_commands_say_what_is_wrong_and_never_break(given_settings, monkeypatch, commands, spoken, floor):
    topics = given_settings.topics
    cluster = FakeCluster().create(given_settings).install(monkeypatch)
    monkeypatch.setattr(FakeAdmin, "lags", lags_at(floor))
    for topic, sent in ((topics.control, commands), (topics.status, spoken)):
        for message, at in sent:
            records = cluster.topics[topic][0]
            records.append(FakeRecord(topic, 0, len(records), None, message.SerializeToString(), (), at))
    if not cluster.topics[topics.control][0]:
        cluster.append(topics.control, whole(1).SerializeToString())
    for words in (["status", "d"], ["status", "d", "--json"], ["status", "--json"], ["pause", "d", "--no-wait"]):
        said = CliRunner().invoke(main, words)
        assert "bug of hotswap" not in said.stderr, (words, said.stderr)
        is_too_old = words[0] == "pause" and said.exit_code == 3 and "is known here: upgrade it" in said.stderr
        assert said.exit_code in (0, 1) or is_too_old, (words, said.output, said.exception)
        if "--json" in words:
            json.loads(said.stdout)
    asyncio.run(give_commands(given_settings))


def lags_at(floor):
    async def lags(self, group, topic):
        return tuple(Lag(number, 5, end, floor) for number, end in self.cluster.ends(topic).items())

    return lags


async def give_commands(settings):
    model, proto = Model("file:///m", "a" * 64), Proto.inline("syntax = 'proto3';")
    changes = [Change(model=model, proto=proto, generation=n, base=b) for n in (None, 2, MOST) for b in (None, MOST)]
    async with Client(settings) as client:
        for give in [client.rollback(), client.rollback(MOST), *map(client.swap, changes)]:
            with contextlib.suppress(HotswapError):
                await give


@pytest.mark.parametrize(
    "metadata",
    [None, "", "{", "[]", "{}", '{"generation": null}', '{"generation": 1e400}', '{"generation": -1}', '{"generation": '
     + "9" * 4_000 + "}", '{"generation": ' + "9" * 5_000 + "}", "[" * 4_000, '{"generation": NaN}'],
)  # fmt: skip
def test_an_offset_with_metadata_that_no_worker_writes_is_somebody_elses(metadata):
    assert as_committed(7, metadata) == Committed(7, 0, is_ours=False)


def test_the_last_number_in_an_offsets_metadata_is_a_workers():
    assert as_committed(7, f'{{"generation": {MOST}}}') == Committed(7, MOST, is_ours=True)


@pytest.mark.parametrize("number", [b"", b"-1", b"9" * 20, b"9" * 5_000, b"1e3", "٣".encode(), b"\xff", None])
def test_an_answer_whose_headers_have_no_number_is_no_witness_and_can_be_read(number):
    headers = [("source", b"t-0-5"), ("generation", number)]
    record = SimpleNamespace(headers=headers, value=b"", timestamp=0)
    assert answer_of(record, b"t-0-") is None
    assert prediction_of(record).source == "t-0-5"
    assert refused(record).source == "t-0-5"
    far = SimpleNamespace(headers=[("source", b"t-0-" + (number or b"x")), ("generation", b"1")])
    assert answer_of(far, b"t-0-") is None


def test_an_answer_of_the_last_generation_is_a_witness():
    record = SimpleNamespace(headers=[("source", b"t-0-5"), ("generation", b"%d" % MOST)])
    assert answer_of(record, b"t-0-") == LastAnswer(5, MOST)
