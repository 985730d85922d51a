"""Batches of mixed requests over a fake model: answers are in order, and bad requests are refused individually."""

import numpy as np
import pytest

from hotswap.batch import Ask, Code, Refusal
from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.values import Table
from hotswap.errors import ModelError, SwapError
from hotswap.generation import Configuration
from hotswap.host.dispatcher import Dispatcher
from hotswap.host.warm import check_samples, warm
from hotswap.runtimes.rows import RowPlan

PROTO = b"""syntax = "proto3";
message Row { optional double x = 1; }
message Rows { repeated Row rows = 1; }
message Label { string label = 1; }
message Labels { repeated string label = 1; }
service S { rpc one(Row) returns (Label); rpc many(Rows) returns (Labels); }"""
RAISES, UNDECIDED = 13.0, 14.0


class FakeModel:
    """A `rows.RowModel`: is x positive? It raises for 13, and cannot decide for 14."""

    columns = (Column("x"),)
    outputs = (Output("predict", 0, 1, ("label",), classes=("no", "yes")),)
    description = "a fake"

    def __init__(self):
        self.scored = 0

    def plan(self, operation, configuration):
        return RowPlan(self, operation, configuration)

    def score(self, table):
        matrix = table.matrix
        if (matrix == RAISES).any():
            raise ModelError("unlucky")
        self.scored += len(matrix)
        return Table(np.where(matrix == UNDECIDED, np.nan, matrix > 0))


def dispatcher():
    return Dispatcher(model=FakeModel(), schema=compile_proto(PROTO), configuration=Configuration())


def asks(*operations):
    return [Ask(operation) for operation in operations]


def request(*numbers, many=False):
    operations = compile_proto(PROTO).operations
    if many:
        return operations["many"].input(rows=[{"x": number} for number in numbers]).SerializeToString()
    return operations["one"].input(x=numbers[0]).SerializeToString()


def label(*words):
    return b"".join(b"\x0a" + bytes([len(word)]) + word.encode() for word in words)


def test_requests_of_several_operations_are_answered_in_order():
    values = [request(1), request(-1, 1, many=True), request(-1), request(many=True), request(1)]

    answers = dispatcher().score(values, asks("one", "many", "one", "many", "none")).answers

    assert answers[:4] == [label("yes"), label("no", "yes"), label("no"), b""]
    assert answers[4] == Refusal(
        Code.UNKNOWN_OPERATION, "there is no operation `none`; set the header `operation` to one of: one, many"
    )


def test_known_values_are_told_of_the_fields_of_which_they_are_few():
    columns = [Column("few", ("a", "b")), Column("many", tuple(map(str, range(301)))), Column("long", ("x" * 8000,))]
    fields = "".join(f"string {column.name} = {number}; " for number, column in enumerate(columns, 1))
    messages = f"message R {{ {fields} }} message L {{ string label = 1; }}"
    service = "service S { rpc one(R) returns (L); rpc two(R) returns (L); }"
    schema, model = compile_proto(f'syntax = "proto3"; {messages} {service}'.encode()), FakeModel()
    model.columns = tuple(columns)

    told = Dispatcher(model=model, schema=schema, configuration=Configuration()).describe()

    few = {"few": ["", "a", "b"], "many": [], "long": []}
    assert told["reads"] == {"one": few, "two": few}


def test_a_request_that_names_none_of_several_operations_is_refused_with_their_names():
    for asked in (None, asks("", "")):
        answers = dispatcher().score([request(1)] * 2, asked).answers
        assert [answer.code for answer in answers] == [Code.UNKNOWN_OPERATION] * 2
        assert "several; set the header `operation` to one of: one, many" in answers[0].message


def test_a_request_that_makes_the_model_raise_is_refused_alone():
    values = [request(1, 1, many=True), request(1, RAISES, many=True), b"\xff", request(-1, many=True)]

    first, raised, undecodable, last = dispatcher().score(values, asks("many") * 4).answers

    assert (first, last) == (label("yes", "yes"), label("no"))
    assert raised == Refusal(Code.MODEL_ERROR, "unlucky")
    assert undecodable.code is Code.UNDECODABLE


def test_a_request_without_a_class_is_refused_alone_with_its_row():
    values = [request(1, many=True), request(1, UNDECIDED, many=True), request(-1, many=True)]

    first, undecided, last = dispatcher().score(values, asks("many") * 3).answers

    assert (first, last) == (label("yes"), label("no"))
    assert undecided == Refusal(Code.MODEL_ERROR, "row 1: the model returned nan, which is not a valid class")


def test_a_batch_of_bad_requests_only_is_answered():
    answers = dispatcher().score([b"\xff", request(RAISES), request(UNDECIDED)], asks("one") * 3).answers

    assert [answer.code for answer in answers] == [Code.UNDECODABLE, Code.MODEL_ERROR, Code.MODEL_ERROR]


def test_mismatches_of_all_operations_are_reported_in_one_error():
    proto = PROTO.replace(b"double x", b"bytes x").replace(b"string label", b"string colour")

    with pytest.raises(SwapError) as refused:
        Dispatcher(model=FakeModel(), schema=compile_proto(proto), configuration=Configuration())

    assert refused.value.code == "SCHEMA_MISMATCH"
    assert [line.partition(" ")[0] for line in refused.value.message.splitlines()[1:]] == ["one:"] * 2 + ["many:"] * 2


def test_samples_go_to_the_first_operation_and_a_refused_one_is_named():
    made = dispatcher()
    check_samples(made, [request(1), request(-1)])

    with pytest.raises(SwapError, match="sample 1 was refused: MODEL_ERROR: unlucky") as refused:
        check_samples(made, [request(1), request(RAISES)])
    assert refused.value.code == "SAMPLE_REFUSED"


def test_a_sample_or_a_made_up_row_whose_answer_is_larger_than_the_topic_allows_is_refused():
    largest = len(label("yes"))
    check_samples(dispatcher(), [request(1), request(-1)], largest)
    warm(dispatcher(), [], 2 * largest)

    with pytest.raises(SwapError, match="sample 1 was refused: ANSWER_TOO_LARGE: its answer has 5 bytes") as sample:
        check_samples(dispatcher(), [request(-1), request(1)], largest - 1)
    with pytest.raises(SwapError, match="one: a made-up row was refused: ANSWER_TOO_LARGE") as made_up:
        warm(dispatcher(), [], 1)
    assert [sample.value.code, made_up.value.code] == ["SAMPLE_REFUSED"] * 2


def test_requests_with_large_answers_are_not_scored_many_at_a_time(monkeypatch):
    monkeypatch.setattr("hotswap.host.warm._ANSWER_BYTES", 3 * len(label("yes")) - 1)
    made, sizes = dispatcher(), []
    score = made.score
    monkeypatch.setattr(made, "score", lambda values, asks: sizes.append(len(values)) or score(values, asks))

    check_samples(made, [request(1)] * 8)
    warm(made, [request(1)])

    assert sizes[:4] == [1, 3, 3, 1]
    assert max(sizes) == 3


def test_a_host_is_warmed_with_requests_of_every_operation(monkeypatch):
    monkeypatch.setattr("hotswap.host.warm._SECONDS", 600.0)  # a busy machine does fewer in one
    model = FakeModel()
    warm(Dispatcher(model=model, schema=compile_proto(PROTO), configuration=Configuration()), [])

    assert model.scored > 20_000
