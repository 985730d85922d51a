"""Which of several methods a jar's operation calls, Java's own types, and null: alike in the JVM and through Python."""

from contextlib import closing

import pytest

from fakes.both_lab import TURNS
from fakes.jar_hosts import load, refusal_of
from fakes.jars import jar
from harness.lab import Lab
from hotswap.batch import Ask, Code, Refusal
from hotswap.codec.proto import compile as compile_proto

TYPES = ("int32", "int64", "uint64", "float", "double", "bool", "string", "bytes")
MESSAGES = """
message Text { string s = 1; }
message MaybeText { optional string s = 1; }
message Mixed { int64 a = 1; double b = 2; }
message Same { int64 a = 1; int64 b = 2; }
message Two { double x = 1; double y = 2; }
message Longs { int64 x = 1; int64 y = 2; }
message One { double d = 1; }
message MaybeOne { optional double d = 1; }
message Ones { repeated One rows = 1; }
message Own { bool present = 1; bool empty = 2; }
message OwnValue { bool present = 1; double as_double = 2; }
message MaybeOnes { repeated MaybeOne rows = 1; }
message Column { repeated double d = 1; }
message Vector { repeated double x = 1; }
message LongVector { repeated int64 x = 1; }
message Pair { optional double a = 1; optional int64 b = 2; }
message HardPair { double a = 1; int64 b = 2; }
message Bean { int64 x = 1; optional string note = 2; }
message Arrays { repeated int32 a = 1; repeated int32 b = 2; repeated int32 c = 3; repeated int64 d = 4;
  repeated float e = 5; repeated double f = 6; repeated bool g = 7; repeated string h = 8;
  bool beside = 9; }
message Numbers { string text = 1; double number = 2; int64 whole = 3; uint64 large = 4; }
message Times { string day = 1; string at = 2; string instant = 3; string time = 4; string id = 5; }
message Options { optional string text = 1; optional int32 i = 2; optional int64 l = 3; optional double d = 4;
  optional string day = 5; }
message Amounts { repeated string amounts = 1; }
message AmountsByName { map<string, double> amounts = 1; }
message Flag { bool is_empty = 1; }
message Late { optional string day = 1; optional double score = 2; optional string sum = 3; }
message Counts { map<string, int32> counts = 1; }
message Year { int32 year = 1; }
""" + " ".join(
    f"message Two_{kind} {{ {kind} a = 1; {kind} b = 2; }} message May_{kind} "
    f"{{ optional {kind} a = 1; optional {kind} b = 2; }}"
    for kind in TYPES
)

EXACT = {
    "Two_int32": "int", "Two_int64": "long", "Two_uint64": "long", "Two_float": "float", "Two_double": "double",
    "Two_bool": "boolean", "Two_string": "String", "Two_bytes": "byte[]",
}  # fmt: skip
PAIR = {"x": 1, "y": 2}
UUID = "123e4567-e89b-12d3-a456-426614174000"
CALLS = {
    **{f"add{kind}": ("add", f"{kind} Text", {}, {"s": told}) for kind, told in EXACT.items()},
    "addMay_double": ("add", "May_double Text", {"a": 1}, {"s": "Double"}),
    "addMay_int64": ("add", "May_int64 Text", {"a": 1, "b": 2}, {"s": "long"}),
    "WideOfInt": ("wide", "Two_int32 Text", {}, {"s": "long"}),
    "WideOfFloat": ("wide", "Two_float Text", {}, {"s": "double"}),
    "both": ("both", "Same Text", {}, {"s": "object"}),
    "BothOfDoubles": ("both", "Two_double Text", {}, {"s": "class"}),
    "later": ("later", "Two_string Text", {}, {"s": "String"}),
    "given": ("given", "Same Text", {}, {"s": "double"}),
    "Named": ("add( java.math.BigDecimal,BigDecimal )", "Two_double Text", {}, {"s": "BigDecimal"}),
    "NamedVarargs": ("add(double...)", "Two_double Text", {}, {"s": "double..."}),
    "NamedWhole": ("mixed(long, double) -> String", "Same Text", {}, {"s": "long double"}),
    "NamedVector": ("array(double[])", "LongVector Text", {"x": [1]}, {"s": "double[]"}),
    "mixed": ("mixed", "Mixed Text", {}, {"s": "long double"}),
    "array": ("array", "LongVector Text", {"x": [1]}, {"s": "long[]"}),
    "point": ("point", "Two Text", PAIR, {"s": "double"}),
    "PointOfLongs": ("point", "Longs Text", PAIR, {"s": "long"}),
    "bean": ("bean", "Bean Text", {"x": 1, "note": "n"}, {"s": "long Optional[n]"}),
    "inherited": ("inherited", "One Text", {}, {"s": "inherited"}),
    "byDefault": ("byDefault", "One Text", {}, {"s": "default"}),
    "generic": ("generic", "Two Text", PAIR, {"s": "generic double"}),
    "arrays": (
        "arrays", "Arrays Text",
        {"a": [-1], "b": [2], "c": [3], "d": [4], "e": [5], "f": [6], "g": [True], "h": ["x", "é"]},
        {"s": "[-1][2][3][4][5.0][6.0][true][x, é]"},
    ),
    "numbers": (
        "numbers", "Numbers Text", {"text": "1.10e2", "number": 0.1, "whole": -5, "large": (1 << 64) - 1},
        {"s": "110 0.1 -5 18446744073709551615"},
    ),
    "times": (
        "times", "Times Text",
        {"day": "2026-01-31", "at": "2026-01-31T12:00", "instant": "2026-01-31T12:00:00Z", "time": "PT1M", "id": UUID},
        {"s": f"2026-01-31 2026-01-31T12:00 2026-01-31T12:00:00Z PT1M {UUID}"},
    ),
    "optionals": (
        "optionals", "Options Text", {"text": "", "i": 0, "l": 5, "d": 0.5, "day": "2026-01-31"},
        {"s": "Optional[] OptionalInt[0] OptionalLong[5] OptionalDouble[0.5] Optional[2026-01-31]"},
    ),
    "NoOptionals": (
        "optionals", "Options Text", {},
        {"s": "Optional.empty OptionalInt.empty OptionalLong.empty OptionalDouble.empty Optional.empty"},
    ),
    "sum": ("sum", "Amounts Text", {"amounts": ["0.10", "0.20"]}, {"s": "0.30"}),
    "total": ("total", "AmountsByName Text", {"amounts": {"a": 0.1, "b": 0.2}}, {"s": "0.3"}),
    "decimal": ("decimal", "Text Text", {"s": "1.10"}, {"s": "1.10"}),
    "DecimalNumber": ("decimal", "Text One", {"s": "1.10"}, {"d": 1.1}),
    "nextDay": ("nextDay", "Text Text", {"s": "2026-01-31"}, {"s": "2026-02-01"}),
    "YearOfDay": ("nextDay", "Text Year", {"s": "2026-01-31"}, {"year": 2026}),
    "maybeDay": ("maybeDay", "Text MaybeText", {"s": "2026-01-31"}, {"s": "2026-01-31"}),
    "NoDay": ("maybeDay", "Text MaybeText", {"s": ""}, {}),
    "half": ("half", "One MaybeOne", {"d": 1}, {"d": 0.5}),
    "OwnOfHalf": ("half", "One OwnValue", {"d": 1}, {"present": True, "as_double": 0.5}),
    "OwnOfNoHalf": ("half", "One Own", {"d": 0}, {"empty": True}),
    "NoHalf": ("half", "One MaybeOne", {"d": 0}, {}),
    "ids": ("ids", "Text MaybeText", {"s": UUID}, {"s": UUID}),
    "NoIds": ("ids", "Text MaybeText", {}, {}),
    "late": ("late", "Flag Late", {}, {"day": "2026-01-31", "score": 0.5, "sum": "1.10"}),
    "NothingLate": ("late", "Flag Late", {"is_empty": True}, {}),
    "orNothing": ("orNothing", "One MaybeOne", {"d": -1}, {}),
    "Something": ("orNothing", "One MaybeOne", {"d": 0}, {"d": 0}),
    "orNothings": ("orNothings", "Ones MaybeOnes", {"rows": [{"d": 1}, {"d": -1}]}, {"rows": [{"d": 1}, {}]}),
    "EachOrNothing": ("orNothing", "Ones MaybeOnes", {"rows": [{"d": -1}, {"d": 2}]}, {"rows": [{}, {"d": 2}]}),
    "pair": ("pair", "One Pair", {"d": -1}, {"b": 1}),
    "NoPair": ("pair", "One Pair", {"d": -2}, {}),
    "map": ("map", "One Pair", {"d": -1}, {"b": 1}),
    "NoMap": ("map", "One Pair", {"d": -2}, {}),
}  # fmt: skip
REFUSED = {
    "BadDay": ("nextDay", "Text Text", {"s": "31.1.2026"}, Code.MISTYPED_FIELD,
               "field `s`: '31.1.2026' is not a LocalDate as Java writes it (ISO 8601)"),
    "NoDayAtAll": ("nextDay", "Text Text", {}, Code.MISTYPED_FIELD, "field `s`: '' is not a LocalDate"),
    "BadId": ("times", "Times Text", {"day": "2026-01-31", "at": "2026-01-31T12:00", "instant": "2026-01-31T12:00:00Z",
              "time": "PT1M", "id": "1-1-1-1-1"}, Code.MISTYPED_FIELD, "field `id`: '1-1-1-1-1' is not a UUID"),
    "BadDecimal": ("sum", "Amounts Text", {"amounts": ["1", "1,5"]}, Code.MISTYPED_FIELD, "'1,5' is not a BigDecimal"),
    "LongDecimal": ("sum", "Amounts Text", {"amounts": ["1E+9999"]}, Code.MISTYPED_FIELD, "of at most 1,000 digits"),
    "NotANumber": ("numbers", "Numbers Text", {"number": float("nan"), "text": "1"}, Code.MISTYPED_FIELD,
                   "field `number`: nan is not a BigDecimal"),
    "NullOfAScalar": ("orNothing", "One One", {"d": -1}, Code.MODEL_ERROR, "the method returned null"),
    "NullInAColumn": ("orNothing", "Ones Column", {"rows": [{"d": 1}, {"d": -1}]}, Code.MODEL_ERROR,
                      "row 1, the method returned null"),
    "NullInAVector": ("vector", "Vector Vector", {"x": [1, 2, -1]}, Code.MODEL_ERROR,
                      "row 0, field `x`, element 2: is null"),
    "NullInRows": ("orNothings", "Ones Ones", {"rows": [{"d": 1}, {"d": -1}]}, Code.MODEL_ERROR,
                   "row 1, the method returned null"),
    "NullPair": ("pair", "One Pair", {"d": 7}, Code.MODEL_ERROR, "the method returned null"),
    "NullProperty": ("pair", "One HardPair", {"d": -1}, Code.MODEL_ERROR,
                     "field `a`: the method returned no value (null, or nothing of that name)"),
    "NoNames": ("map", "One Pair", {"d": 7}, Code.MODEL_ERROR, "without a value for any field (a, b)"),
    "NullInAMapOfCounts": ("counts", "One Counts", {"d": -1}, Code.MODEL_ERROR, "field `counts`, key x: is null"),
}  # fmt: skip
ALL = {**CALLS, **REFUSED}
RUNTIME = {"class": "overloads.Overloads"} | {f"method.{name}": case[0] for name, case in ALL.items()}
UNFIT = {
    "mixed": ("mixed", "Same Text", "mixed(long, double) -> String; name one with its parameters (method: mixed("),
    "Absent": ("add(short,short)", "Same Text", "has no method `add(short,short)`; those of that name are: add("),
    "date": ("date", "Text Text", "field `s` (string) does not fit in Date"),
    "aDate": ("aDate", "Text Text", "output field `s` (string): Date has no property of that name"),
}  # fmt: skip


@pytest.fixture
def path(put):
    return put("overloads")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Return a function that asks the JVM and Python, and returns the answer of both."""
    path = tmp_path_factory.mktemp("jar") / "overloads"
    path.write_bytes(jar("overloads"))
    given = load(path, MESSAGES, {name: case[1] for name, case in ALL.items()}, RUNTIME)
    operations = compile_proto(given.proto).operations
    with closing(Lab(path.with_name("lab"), "java", main="fakes.both_lab")) as lab:
        paths = [lab.load(given).paths for _ in TURNS][1]

        def ask(name):
            asked = operations[name].input(**ALL[name][2]).SerializeToString()
            answers = [lab.score([asked] * 3, [Ask(name)] * 3, load=number).answers for number in (2, 3)]
            assert [*answers[0], *answers[1]] == [answers[0][0]] * 6
            return answers[0][0]

        yield ask, paths, operations


@pytest.mark.parametrize("name", CALLS)
def test_the_nearest_method_is_called_and_javas_own_types_and_null_are_taken_and_returned(both, name):
    ask, _, operations = both

    answer = ask(name)

    assert not isinstance(answer, Refusal), answer
    assert operations[name].output.FromString(answer) == operations[name].output(**CALLS[name][3])


@pytest.mark.parametrize("name", REFUSED)
def test_a_text_that_is_no_such_value_and_null_without_a_place_refuse_the_request_alike(both, name):
    ask, _, _ = both
    *_, code, told = REFUSED[name]

    refused = ask(name)

    assert isinstance(refused, Refusal)
    assert (refused.code, told in refused.message) == (code, True), refused.message


def test_overloads_and_null_are_answered_in_the_jvm_and_javas_own_types_through_python(both):
    _, paths, _ = both
    flat = {name for name, path in paths.items() if path == "in the JVM"}

    assert {"addTwo_int64", "inherited", "byDefault", "orNothing", "orNothings", "EachOrNothing", "pair"} <= flat
    assert paths["nextDay"] == "through Python: field `s` (string) fills a LocalDate"
    assert paths["half"] == "through Python: the method returns a OptionalDouble"


async def test_what_is_not_the_nearest_or_does_not_fit_is_refused_at_the_swap_with_what_to_do(path, java):
    rpcs = {name: kinds for name, (_, kinds, _) in UNFIT.items()}
    runtime = {"class": "overloads.Overloads"} | {f"method.{name}": method for name, (method, _, _) in UNFIT.items()}

    refused = await refusal_of(java, load(path, MESSAGES, rpcs, runtime))

    assert refused.code == "SCHEMA_MISMATCH"
    for name, (_, _, told) in UNFIT.items():
        lines = [line for line in refused.message.splitlines() if line.startswith(f"{name}: ")]
        assert any(told in line for line in lines), (name, refused.message)
