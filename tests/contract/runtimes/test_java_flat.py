"""The fast path of jars makes the same calls in the same order as the fallback, with the same answers and refusals."""

import random
from contextlib import closing

import pytest

from fakes.both_lab import DECLINED, TURNS
from fakes.jar_hosts import load
from fakes.jars import jar
from fakes.requests import Requests
from harness.lab import Lab
from hotswap.batch import Ask, Refusal
from hotswap.codec.proto import compile as compile_proto

REQUESTS = 1_500
BATCHES = (700, 1, 2, 50)
LARGE = (100_000, 300_000)

MESSAGES = """
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; DARK_BLUE = 2; }
enum Hue { HUE_UNKNOWN = 0; RED = 1; HUE_DARK_BLUE = 2; }
message Text { string s = 1; }
message Texts { repeated string s = 5; }
message Types {
  double d = 1; float f = 2; int32 i = 3; int64 l = 4; uint32 ui = 5; uint64 ul = 6; sint32 si = 7; sint64 sl = 8;
  fixed32 xi = 9; fixed64 xl = 10; sfixed32 yi = 11; sfixed64 yl = 2000; bool b = 13; string s = 14; bytes y = 15;
  Color c = 16;
}
message TypeRows { repeated Types rows = 7; }
message Row { int32 a = 9; sint32 b = 2; sfixed32 c = 3; uint64 d = 4; double e = 5; fixed32 f = 6; bool g = 7;
  string h = 8; string i = 1; bytes beside = 17; }
message Maybe { optional sint64 a = 1; optional sfixed64 b = 2; optional uint32 c = 3; optional fixed64 d = 4;
  optional float e = 5; optional float f = 6; optional bool g = 7; optional string h = 8; optional bytes i = 9; }
message MaybeRows { repeated Maybe rows = 1; }
message Some { double d = 1; float f = 2; int32 i = 3; int64 l = 4; uint32 ui = 5; uint64 ul = 6; sint32 si = 7;
  bool b = 8; string s = 9; bytes y = 10; Color c = 11; }
message MaybeTexts { optional double d = 1; optional float f = 2; optional int64 l = 3; optional uint64 ul = 4;
  optional bool b = 5; string s = 6; optional bytes y = 7; optional Color c = 8; }
message MaybeTextRows { repeated MaybeTexts rows = 1; }
message Colors { Color first = 1; string second = 2; }
message Hues { Hue first = 1; Color second = 2; }
message Numbers { double d = 1; float f = 2; int32 i = 3; uint64 ul = 4; sint64 sl = 5; fixed32 xi = 6; }
message NumberRows { repeated Numbers rows = 1; }
message Wholes { int32 i = 1; uint64 ul = 2; sint64 sl = 3; fixed32 xi = 4; }
message Lists { repeated double d = 1; repeated sint32 i = 2; repeated fixed64 ul = 3; repeated bool b = 4;
  repeated string s = 5; repeated Color c = 6; bool z = 7; }
message Vector { repeated float x = 3; }
message Doubles { repeated double y = 4; }
message Flower { string note = 1; double length = 2; optional int32 age = 3; repeated float widths = 4; }
message Flowers { repeated Flower rows = 1; }
message Petal { double length = 1; int32 age = 2; string note = 3; string color = 4; }
message Verdict { string label = 3; optional double score = 1; int32 asked = 2; repeated double parts = 4; }
message Score { optional double score = 1; }
message Verdicts { repeated Verdict rows = 1; }
message Labelled { string label = 2; repeated string none = 3; }
message Labels { repeated string label = 1; repeated int64 asked = 2; }
message Seen { float score = 9; string label = 3; uint32 asked = 1; Color color = 17; }
message Mixed { int32 kind = 1; double number = 2; int64 whole = 3; string text = 4; }
message Line { repeated string line = 1; }
message One { optional double d = 1; }
message Ones { repeated One rows = 1; }
"""
CASES = {
    "primitives": "Row Text",
    "boxes": "MaybeRows Texts",
    "objects": "Some Text",
    "texts": "TypeRows Texts",
    "TextsThatMayMiss": "MaybeTexts Text",
    "colors": "Colors Text",
    "OtherColors": "Hues Text",
    "numbers": "NumberRows Texts",
    "floats": "Numbers Text",
    "longs": "Wholes Text",
    "list": "Types Text",
    "lists": "Lists Text",
    "vector": "Vector Doubles",
    "judge": "Flower Verdict",
    "JudgeEach": "Flowers Verdicts",
    "ScoreOnly": "Flower Score",
    "JudgeOne": "Flowers Verdict",
    "judgeAll": "Flowers Verdicts",
    "judgeArray": "Flowers Labels",
    "see": "Petal Seen",
    "sums": "NumberRows Doubles",
    "csv": "Types Text",
    "lines": "TypeRows Line",
    "LinesThatMayMiss": "MaybeTextRows Line",
    "LinesOfOneCell": "Ones Line",
}
METHODS = {
    "TextsThatMayMiss": "texts",
    "OtherColors": "colors",
    "JudgeEach": "judge",
    "ScoreOnly": "judge",
    "JudgeOne": "judgeArray",
    "LinesThatMayMiss": "lines",
    "LinesOfOneCell": "lines",
}


KINDS = ("double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
         "sfixed64", "bool", "string", "bytes", "Color")  # fmt: skip
FORMS = {"One": "{} v = 3;", "May": "optional {} v = 3;", "Many": "repeated {} v = 3;"}
MIXED = {f"To{form}{kind}": f"Mixed {form}{kind}" for kind in KINDS for form in FORMS}
RUNTIME = {f"method.{name}": METHODS.get(name, name) for name in CASES} | {f"method.{name}": "mixed" for name in MIXED}


class Both:
    """A jar that is loaded with the fast path and without it.

    `declined` are the operations of which a usual request is declined.
    """

    def __init__(self, lab, given):
        self.messages = {name: one.input for name, one in compile_proto(given.proto).operations.items()}
        self._lab = lab
        lab.load(given)
        self.declined = {name for name in CASES if DECLINED in self._scored(name, self._usual(name), load=1)}
        self.declined_of_large = {
            length: [answer == DECLINED for answer in self._scored("vector", self.large(length), load=1)]
            for length in LARGE
        }
        self.paths = [set(lab.load(given).paths.values()) for _ in TURNS[1:]]

    def large(self, length):
        return [self.messages["vector"](x=[1.0] * length).SerializeToString()] * 25

    def _usual(self, operation):
        return Requests(self.messages[operation], seed=1, odd=0, damaged=0).take(200)

    def _scored(self, operation, requests, load):
        batches = batched(requests, operation)
        return [answer for batch in batches for answer in self._lab.score(*batch, load=load).answers]

    def answers(self, operation, requests):
        """Return the answers, which are the same for both."""
        fast, plain = [self._scored(operation, requests, load) for load in (2, 3)]
        for request, answer, right in zip(requests, fast, plain, strict=True):
            assert answer == right, request
        return fast


def batched(requests, operation):
    """Split requests into batches of several sizes."""
    sizes, at = random.Random(0), 0
    while at < len(requests):
        batch = requests[at:][: sizes.choice(BATCHES)]
        yield batch, [Ask(operation)] * len(batch)
        at += len(batch)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    path = tmp_path_factory.mktemp("jar") / "flat"
    path.write_bytes(jar("flat"))
    mixed = [f"message {form}{kind} {{ {field.format(kind)} }}" for kind in KINDS for form, field in FORMS.items()]
    with closing(Lab(path.with_name("lab"), "java", main="fakes.both_lab")) as lab:
        yield Both(lab, load(path, MESSAGES + " ".join(mixed), CASES | MIXED, {"class": "flat.Calls"} | RUNTIME))


def test_usual_requests_are_answered_in_the_jvm_alone(both):
    assert both.paths == [{"in the JVM"}, {"through Python: as the test wants it"}]
    assert both.declined == {"JudgeOne"}  # its answer holds one result, and requests have several rows


@pytest.mark.parametrize("operation", CASES)
def test_random_requests_get_the_same_answers_and_refusals_from_the_same_calls(both, operation):
    odd = 0.8 if operation == "JudgeOne" else 0.2  # of several rows, all but one must be judged as nothing
    answers = both.answers(operation, Requests(both.messages[operation], seed=len(operation), odd=odd).take(REQUESTS))

    assert {isinstance(answer, Refusal) for answer in answers} == {True, False}


@pytest.mark.parametrize("form", FORMS)
def test_values_of_every_type_fill_fields_of_every_type_or_are_refused_alike(both, form):
    for kind in KINDS:
        operation = f"To{form}{kind}"
        answers = both.answers(operation, Requests(both.messages[operation], seed=len(kind), odd=0.7).take(700))

        assert {isinstance(answer, Refusal) for answer in answers} == {True, False}, operation


def test_what_is_too_large_for_javas_heap_goes_through_python(both):
    many, long = LARGE

    assert both.declined_of_large[many] == [False] * 21 + [True] * 4  # 16 MiB of answers
    assert set(both.declined_of_large[long]) == {True}
    assert not any(isinstance(answer, Refusal) for answer in both.answers("vector", both.large(many)))
