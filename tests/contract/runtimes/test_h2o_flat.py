"""The fast path answers requests of flat rows inside the JVM, with the same bytes and refusals as the fallback."""

import math
import random
import struct
from collections import Counter

import pytest

from fakes.examples import CANCER, GBM, IRIS, IRIS_GLM, MIXED_GLM, MIXED_KMEANS
from harness.lab import Lab
from hotswap.batch import Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Policy, frozen

REQUESTS = 10_000
BATCHES = (1, 2, 50, 997)
STRICT = Configuration(missing=Policy.REFUSE, unknown_category=Policy.REFUSE)
COLUMNS = [f"x{n}" for n in range(10)]
COLORS = ("blue", "green", "red", "yellow")
COUNTRIES = ("AT", "CH", "DE", "ES", "FR", "GB", "IT", "PL")

OPTIONAL = (
    "message Row { "
    + "".join(f"optional double {name} = {n}; " for n, name in enumerate(COLUMNS, 1))
    + "optional string color = 11; optional string country = 12; string note = 13; bytes raw = 14; }"
)
EVERY_TYPE = """
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; blue = 2; GREEN = 3; VIOLET = 4; YELLOW = -5; }
enum Country { AT = 0; CH = 1; DE = 2; }
message Row {
  double x0 = 1; float x1 = 2; int32 x2 = 3; int64 x3 = 4; uint32 x4 = 5; uint64 x5 = 6; sint32 x6 = 7;
  sint64 x7 = 8; fixed64 x8 = 9; optional sfixed32 x9 = 10; Color color = 11; optional Country country = 2047;
  fixed32 beside = 16; sfixed64 behind = 17; bool is_odd = 18; string note = 19; optional bytes raw = 20;
  repeated double many = 21; Row inner = 22;
}
"""
ROWS = EVERY_TYPE + "message Rows { repeated Row rows = 3; string note = 4; }"
NUMBERED = """
message Row { bool x0 = 1; double x1 = 2; double x2 = 3; double x3 = 4; double x4 = 5; double x5 = 6; double x6 = 7;
  double x7 = 8; double x8 = 9; Color x9 = 10; string color = 11; string country = 12; }
enum Color { GREEN = 0; RED = 1; }
"""
ONE = "message Answer { string response = 1; double p_no = 2; optional float p_yes = 3; }"
ENUM = (
    "enum Said { SAID_YES = 0; SAID_NO = 1; } message Answer { float p_yes = 300; Said response = 2; double p_no = 1; }"
)
VECTOR = "message Answer { repeated float probabilities = 4; repeated string response = 1; }"
LISTS = "message Answer { repeated double p_yes = 20; repeated string response = 1; repeated float probabilities = 3; }"
TABLE = "message Score { string response = 1; double p_yes = 2; } message Answer { repeated Score scores = 17; }"
BEHIND = (
    b"",
    *(b"\xa2\x06\x01x", b"\xa0\x06\x05", b"\xa1\x06" + b"8" * 8, b"\x00"),  # unknown fields
    *(b"\x08\x01", b"\x0d1234", b"\x0a\x01x", b"\x0b\x0c"),  # of another wire type; a group
    *(b"\x5a\x02\xc3\x28", b"\x5a\x03\xed\xa0\x80"),  # invalid UTF-8
    # Varints that are longer than necessary, or too long.
    *(
        b"\x89\x80\x80\x80\x80\x00" + b"12345678",
        b"\x89\x80\x80\x80\x70" + b"12345678",
        b"\x5a\x81\x80\x80\x80\x80\x00x",
    ),
    *(b"\x89\x80\x80\x80\x80\x80\x80\x80\x80\x00" + b"12345678", b"\x5a\x81\x80\x80\x80\x10x"),
    *(b"\x89\x00" + b"12345678", b"\x18\x81\x80\x00", b"\x18" + b"\xff" * 9 + b"\x7f", b"\x20" + b"\x80" * 10),
)
CASES = {
    "single": (OPTIONAL, "Row", ONE, Configuration()),
    "single, nothing may be missing": (OPTIONAL, "Row", ENUM, STRICT),
    "every type": (EVERY_TYPE, "Row", TABLE, Configuration()),
    "every type, nothing may be missing": (EVERY_TYPE, "Row", ONE, STRICT),
    "a bool, an enum's number": (NUMBERED, "Row", ENUM, Configuration()),
    "vectors": (OPTIONAL, "Row", VECTOR, Configuration()),
    "rows to lists": (ROWS, "Rows", LISTS, Configuration()),
    "rows to rows": (ROWS, "Rows", TABLE, Configuration()),
    "rows to rows, nothing may be missing": (ROWS, "Rows", TABLE, STRICT),
    "a field by another name": (
        OPTIONAL.replace("x3 =", "third ="),
        "Row",
        ONE,
        Configuration(columns=frozen({"x3": "third"})),
    ),
}


def proto(messages, taken, given="Answer"):
    return f'syntax = "proto3"; {messages} service S {{ rpc f({taken}) returns ({given}); }}'.encode()


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "fast", "h2o")
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    made = Lab(tmp_path_factory.mktemp("lab") / "plain", "h2o", main="fakes.plain_lab")
    yield made
    made.close()


def path_of(lab, load):
    """Load a generation; return how its only operation is answered."""
    (path,) = lab.load(load).paths.values()
    return path


def answers_of(lab, load, requests):
    """Return the path, the answers to batches of several sizes, and the counts of unknown categories."""
    path, answers, unknown, sizes = path_of(lab, load), [], Counter(), random.Random(0)
    while len(answers) < len(requests):
        batch = lab.score(requests[len(answers) :][: sizes.choice(BATCHES)])
        answers += batch.answers
        unknown.update(batch.unknown)
    return path, answers, unknown


class Requests:
    """Random requests of an operation: whole, lacking, extreme, with unknown categories, and with damaged bytes."""

    def __init__(self, operation, seed):
        self._random = random.Random(seed)
        self._message = operation.input
        self._rows = operation.input.DESCRIPTOR.fields_by_name.get("rows")

    def take(self, count):
        return [self._one() for _ in range(count)]

    def _one(self):
        message = self._message()
        if self._rows:
            is_large = self._random.random() < 0.003  # more rows than are scored at a time
            for _ in range(600 if is_large else self._random.choice((0, 1, 1, 2, 5))):
                self._fill(message.rows.add())
            if self._random.random() < 0.02:
                message.note = "beside the rows"
        else:
            self._fill(message)
        value = message.SerializeToString()
        return value if self._random.random() < 0.85 else self._damaged(value)

    def _fill(self, row):
        # Most are undamaged, or hardly any row would be good.
        violation = self._random.choice((0.0, 0.0, 0.05, 0.3))
        for part in row.DESCRIPTOR.fields:
            if part.is_repeated or part.message_type:
                if self._random.random() < 0.01:
                    getattr(row, part.name).SetInParent() if not part.is_repeated else row.many.append(1.0)
                continue
            if part.name in ("note", "raw") and self._random.random() < 0.9:
                continue
            if self._random.random() >= violation:
                setattr(row, part.name, self._usual(part))
            elif self._random.random() < 0.5:
                setattr(row, part.name, self._odd(part))

    def _usual(self, part):
        if part.enum_type:
            return self._random.choice(part.enum_type.values[:3]).number
        if part.cpp_type in (part.CPPTYPE_DOUBLE, part.CPPTYPE_FLOAT):
            return self._random.gauss(0, 1)
        if part.cpp_type == part.CPPTYPE_BOOL:
            return self._random.random() < 0.5
        if part.type == part.TYPE_BYTES:
            return b"\xff\x00"
        if part.type == part.TYPE_STRING:
            return self._random.choice({"color": COLORS, "country": COUNTRIES}.get(part.name, ("a note",)))
        return self._random.randrange(3)

    def _odd(self, part):
        if part.enum_type:
            return self._random.choice((0, 3, 4, -5, 77))
        if part.cpp_type in (part.CPPTYPE_DOUBLE, part.CPPTYPE_FLOAT):
            return self._random.choice((0.0, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324, -1.0))
        if part.cpp_type == part.CPPTYPE_BOOL:
            return False
        if part.type == part.TYPE_BYTES:
            return b""
        if part.type == part.TYPE_STRING:
            return self._random.choice(("", "mauve", "NA", "ü", "1.0", "red\0"))
        bits = 32 if part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_UINT32) else 64
        is_signed = part.cpp_type in (part.CPPTYPE_INT32, part.CPPTYPE_INT64)
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
        return self._random.choice((0, 1, least, most, most - 1, max(least, -1), min(most, (1 << 53) + 1)))

    def _damaged(self, value):
        at = self._random.randrange(len(value) + 1)
        if self._random.random() < 0.2:
            return value[:at]
        if self._random.random() < 0.3:
            return value[:at] + self._random.randbytes(self._random.randrange(1, 9)) + value[at:]
        if self._random.random() < 0.3:
            return value[:at] + self._random.randbytes(1) + value[at + 1 :]
        return value + self._random.choice(BEHIND) + self._random.choice((b"", b"\x09" + struct.pack("<d", 0.5)))


@pytest.mark.parametrize("name", CASES)
def test_the_fast_path_and_the_fallback_return_the_same_bytes_refusals_and_counts(fast, plain, name):
    messages, taken, answer, configuration = CASES[name]
    source = proto(messages + answer, taken)
    (operation,) = compile_proto(source).operations.values()
    requests = Requests(operation, seed=len(name)).take(REQUESTS)
    load = GBM.load(proto=source, configuration=configuration)

    path, answers, unknown = answers_of(fast, load, requests)
    plain_path, expected, expected_unknown = answers_of(plain, load, requests)

    assert (path, plain_path) == ("in the JVM", "through Python: as the test wants it")
    different = [n for n, pair in enumerate(zip(answers, expected, strict=True)) if pair[0] != pair[1]]
    assert [(requests[n].hex(), answers[n], expected[n]) for n in different[:3]] == []
    assert unknown == expected_unknown
    refused = sum(isinstance(answer, Refusal) for answer in answers)
    assert 0 < refused < 0.8 * REQUESTS


def test_a_zero_is_omitted_from_an_answer_where_proto3_omits_it(fast, plain):
    answer = (
        "message Answer { string species = 1; float setosa = 2; double versicolor = 3; optional float virginica = 4;"
    )
    flower = "message Iris { double sepal_length = 1; double sepal_width = 2; double petal_length = 3;"
    source = proto(f"{flower} double petal_width = 4; }} {answer} }}", "Iris")
    (operation,) = compile_proto(source).operations.values()
    sizes = (0.0, 1.0, -60.0, 200.0, 1e6)
    requests = [
        operation.input(sepal_length=a, petal_length=b, petal_width=c).SerializeToString()
        for a in sizes
        for b in sizes
        for c in sizes
    ]
    load = IRIS_GLM.load(proto=source)

    _, answers, _ = answers_of(fast, load, requests)
    _, expected, _ = answers_of(plain, load, requests)

    assert answers == expected
    said = [operation.output.FromString(answer) for answer in answers]
    assert {message.setosa == 0 for message in said} == {message.versicolor == 0 for message in said} == {True, False}
    assert any(message.virginica == 0 and message.HasField("virginica") for message in said)


@pytest.mark.parametrize("example", [IRIS, IRIS_GLM, CANCER, GBM, MIXED_GLM], ids=lambda example: example.model)
def test_the_models_of_the_examples_are_answered_in_the_jvm(fast, plain, example):
    path, answers, _ = answers_of(fast, example.load(), example.requests())
    _, expected, _ = answers_of(plain, example.load(), example.requests())

    assert path == "in the JVM"
    assert answers == expected


@pytest.mark.parametrize(
    ("messages", "taken", "why"),
    [
        (OPTIONAL.replace("optional double x3", "optional string x3") + ONE, "Row", "column `x3` comes from `x3`"),
        (
            OPTIONAL.replace("optional double x3 = 4;", "Inner inner = 4;") + "message Inner { double x3 = 1; }" + ONE,
            "Row",
            "column `x3` comes from `inner.x3`",
        ),
        (
            OPTIONAL.replace("optional double x3 = 4;", "oneof either { double x3 = 4; double other = 40; }") + ONE,
            "Row",
            "field `x3` is in a oneof",
        ),
        (OPTIONAL + ONE.replace("p_no = 2", "confidence = 2"), "Row", "output `confidence` is not computed by score0"),
        (OPTIONAL + "message Answer { map<string, double> probabilities = 1; }", "Row", "output field `probabilities`"),
        (OPTIONAL.replace(" x3 = 4", " x3 = 400000") + ONE, "Row", "field number 400000 is beyond 4096"),
    ],
    ids=["parsed", "nested", "oneof", "computed", "map", "far"],
)
def test_rows_that_are_not_flat_go_through_python_and_the_status_says_why(fast, messages, taken, why):
    source = proto(messages, taken)
    (operation,) = compile_proto(source).operations.values()
    path = path_of(fast, GBM.load(proto=source))
    (answer,), _ = fast.score([operation.input(x1=1.0, color="red").SerializeToString()])

    assert isinstance(answer, bytes)
    assert path.startswith(f"through Python: {why}")


def test_a_model_that_needs_more_than_score0_goes_through_python(fast):
    assert (
        path_of(fast, MIXED_KMEANS.load())
        == "through Python: the model's rows are built, or scored, by more than score0"
    )
