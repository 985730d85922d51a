"""The columns of an output, and the form in which requests travel to a host; without Spark."""

import importlib

import pytest

from hotswap.codec.packed import pack
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import UsageError

pytestmark = pytest.mark.spark


@pytest.fixture
def pa():
    return importlib.import_module("pyarrow")


@pytest.fixture
def answers():
    return importlib.import_module("hotswap.lake.answers")


def operation(messages):
    proto = f'syntax = "proto3"; {messages} service S {{ rpc f(Answer) returns (Answer); }}'
    return compile_proto(proto.encode()).operations["f"]


def test_an_output_has_no_types_that_spark_lacks(pa, answers):
    of = operation("message Answer { uint32 a = 1; repeated uint64 b = 2; map<string, uint32> c = 3; float d = 4; }")
    fields = {field.name: field.type for field in answers.AnswerDecoder(of, 7, "digest").fields}
    assert (*fields,) == answers.OURS
    assert {part.name: part.type for part in fields["answer"]} == {
        "a": pa.int64(),
        "b": pa.list_(pa.decimal128(20, 0)),
        "c": pa.map_(pa.string(), pa.int64()),
        "d": pa.float32(),
    }


@pytest.mark.parametrize(
    "messages",
    [
        "message Answer { Answer next = 1; }",
        "message Answer { Tree tree = 1; } message Tree { repeated Tree trees = 1; }",
    ],
)
def test_an_answer_that_contains_itself_has_no_columns(answers, messages):
    with pytest.raises(UsageError, match="is recursive"):
        answers.AnswerDecoder(operation(messages), 7, "digest")


@pytest.mark.parametrize(("begin", "count"), [(0, 4), (1, 2), (2, 0)])
def test_any_part_of_an_array_travels_as_its_values_do(pa, answers, begin, count):
    values = [b"one", b"", b"three", b"4"]
    part = pa.array(values, pa.binary()).slice(begin, count)
    assert bytes(answers.pack(part).buffer) == bytes(pack(values[begin : begin + count]))
