"""Functions in Python as models: what they get and return, in real hosts with guests."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fakes.python_models import NUMBER, answered, bytes_of, codes, load_of, proto, serving, written
from hotswap.batch import Ask
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapCode, SwapError
from hotswap.generation import Configuration

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only")

RISK = proto("double age = 1; string city = 2; optional int64 clicks = 3;", "double p = 1; string label = 2;")
RULE = """
    CITIES = {"Bonn": 0.25}

    def predict(model, columns):
        p = [age / 100 + CITIES.get(city, 0) for age, city in zip(columns["age"], columns["city"])]
        return {"p": p, "label": ["high" if one > 0.5 else "low" for one in p]}
"""


async def refusal_of(load: Any) -> SwapError:
    with pytest.raises(SwapError) as refused:
        async with serving(load):
            pass
    return refused.value


async def test_a_function_answers_from_bytes_to_bytes_in_the_jvm_and_as_the_fallback_does(tmp_path: Path) -> None:
    rows = [{"age": age, "city": city} for age in range(50) for city in ("Bonn", "Köln", "")]
    nested = proto("Person who = 1; message Person { double age = 1; string city = 2; }", "double p = 1;")
    async with serving(load_of(written(tmp_path / "m", RULE), RISK)) as host:
        fast = [(one.p, one.label) for one in await answered(host, RISK, *rows)]
    async with serving(
        load_of(tmp_path / "m", nested, configuration=Configuration(columns={"age": "who.age", "city": "who.city"}))
    ) as host:
        slow = [one.p for one in await answered(host, nested, *({"who": row} for row in rows))]

    assert fast == [
        (p, "high" if p > 0.5 else "low")
        for p in (row["age"] / 100 + (0.25 if row["city"] == "Bonn" else 0) for row in rows)
    ]
    assert slow == [p for p, _ in fast]


async def test_each_type_of_field_arrives_as_it_is_promised(tmp_path: Path) -> None:
    source = proto(
        "double a = 1; optional double b = 2; int64 c = 3; optional int32 d = 4; bool e = 5; optional bool f = 6;"
        "string g = 7; optional string h = 8; Mood i = 9; repeated double j = 10; repeated int64 k = 11;"
        "repeated string l = 12; In m = 13; message In { int32 n = 1; } enum Mood { MOOD_UNSPECIFIED = 0; GOOD = 1; }",
        "repeated string seen = 1;",
    )
    model = """
        def predict(model, columns):
            return {"seen": [[f"{name}={values[row]!r}" for name, values in columns.items()] for row in range(2)]}
    """
    full = {"a": 1.5, "b": 2.5, "c": 1 << 62, "d": 4, "e": True, "f": False, "g": "ü", "h": "", "i": 1}
    full |= {"j": [1.0, 2.0], "k": [1 << 62], "l": ["x", ""], "m": {"n": 7}}
    async with serving(load_of(written(tmp_path / "m", model), source)) as host:
        seen = [list(one.seen) for one in await answered(host, source, full, {})]

    columns = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m.n"]
    whole = str(1 << 62)
    full_as = [
        "1.5",
        "2.5",
        whole,
        "4.0",
        "True",
        "0.0",
        "'ü'",
        "''",
        "'GOOD'",
        "[1.0, 2.0]",
        f"[{whole}]",
        "['x', '']",
    ]
    none_as = ["0.0", "nan", "0", "nan", "False", "nan", "''", "None", "None", "[]", "[]", "[]"]
    assert seen == [
        [f"{name}={value}" for name, value in zip(columns, values, strict=True)]
        for values in ([*full_as, "7.0"], [*none_as, "nan"])
    ]


async def test_answers_fill_fields_of_each_type(tmp_path: Path) -> None:
    source = proto(
        "double x = 1;",
        "double a = 1; float b = 2; int64 c = 3; bool d = 4; string e = 5; optional string f = 6; Mood g = 7;"
        "repeated double h = 8; repeated int32 i = 9; repeated string j = 10; In k = 11; optional double l = 12;"
        "message In { string a = 1; } enum Mood { MOOD_UNSPECIFIED = 0; MOOD_GOOD = 1; }",
    )
    model = """
        def predict(model, columns):
            return {"a": [0.5], "b": (2,), "c": [1 << 62], "d": [True], "e": ["ü"], "f": [None], "g": ["good"],
                    "h": [[1, 2.5]], "i": [[]], "j": [["a", ""]], "k.a": ["inner"], "l": [None], "more": [1]}
    """
    async with serving(load_of(written(tmp_path / "m", model), source)) as host:
        (one,) = await answered(host, source, {"x": 1.0})

    assert (one.a, one.b, one.c, one.d, one.e, one.HasField("f"), one.g) == (0.5, 2.0, 1 << 62, True, "ü", False, 1)
    assert (list(one.h), list(one.i), list(one.j), one.k.a, one.l != one.l) == ([1, 2.5], [], ["a", ""], "inner", True)


async def test_a_request_of_many_rows_is_one_call(tmp_path: Path) -> None:
    source = proto(
        "repeated In rows = 1; message In { double x = 1; }", "repeated double y = 1; repeated string z = 2;"
    )
    model = """
        def predict(model, columns):
            count = len(columns["x"])
            return {"y": [x * 2 for x in columns["x"]], "z": [str(count)] * count}
    """
    async with serving(load_of(written(tmp_path / "m", model), source)) as host:
        first, none = await answered(host, source, {"rows": [{"x": 1.0}, {"x": 2.0}]}, {})

    assert (list(first.y), list(first.z), list(none.y)) == ([2.0, 4.0], ["2", "2"], [])


async def test_each_rpc_is_the_function_of_its_name(tmp_path: Path) -> None:
    source = proto("double x = 1;", "double y = 1;", "Classify", "ExplainIt")
    model = """
        def load(folder): return 10
        def classify(model, columns): return {"y": [model + x for x in columns["x"]]}
        def explain_it(model, columns): return [model * x for x in columns["x"]]
    """
    async with serving(load_of(written(tmp_path / "m", model), source)) as host:
        answers = await host.score(bytes_of(source, {"x": 2.0}, {"x": 3.0}), [Ask("Classify"), Ask("ExplainIt")])
    operation = compile_proto(source).operations["Classify"]
    missing = await refusal_of(load_of(tmp_path / "m", proto("double x = 1;", "double y = 1;", "Other")))

    assert [operation.output.FromString(answer).y for answer in answers] == [12.0, 30.0]
    assert (missing.code, "no function `other(model, columns)`, but classify, explain_it" in missing.message) == (
        SwapCode.SCHEMA_MISMATCH,
        True,
    )


async def test_a_row_that_makes_the_function_raise_is_refused_alone_and_with_its_line(tmp_path: Path) -> None:
    model = """
        def predict(model, columns):
            return {"y": [1 / x for x in columns["x"]]}
    """
    async with serving(load_of(written(tmp_path / "m", model), NUMBER)) as host:
        answers = await host.score(bytes_of(NUMBER, *({"x": float(x)} for x in range(-2, 3))))

    assert codes(answers) == ["answered", "answered", "MODEL_ERROR", "answered", "answered"]
    assert "`predict` failed: ZeroDivisionError: float division by zero (model.py, line 3)" in str(answers[2])


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("raise RuntimeError('no weights')", "RuntimeError: no weights (model.py, line 1)"),
        ("import torch", "ModuleNotFoundError: No module named 'torch'"),
        ("def load(folder): raise SystemExit(3)\ndef predict(model, columns): ...", "SystemExit: 3 (model.py, line 1)"),
        ("x = 1", "model.py has no function `predict(model, columns)`"),
        ("def predict(model, columns", "SyntaxError"),
    ],
)
async def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path, source: str, why: str) -> None:
    refused = await refusal_of(load_of(written(tmp_path / "m", source), NUMBER))

    assert (refused.code, why in refused.message) == (SwapCode.MODEL_INVALID, True), refused.message


async def test_a_pickle_needs_the_kind_that_allows_it(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", "def predict(model, columns): return columns['x']", {"w.pkl": b"\x80\x04N."})

    refused = await refusal_of(load_of(folder, NUMBER))
    async with serving(load_of(folder, NUMBER, kind="python-pickle")) as host:
        (one,) = await answered(host, NUMBER, {"x": 2.0})

    assert "the model has a pickle, w.pkl" in refused.message
    assert "kind python-pickle" in refused.message
    assert one.y == 2.0


async def test_a_field_that_no_function_takes_is_a_mismatch(tmp_path: Path) -> None:
    source = proto("bytes image = 1; map<string, double> more = 2;", "double y = 1;")

    refused = await refusal_of(load_of(written(tmp_path / "m", RULE), source))

    assert refused.code == SwapCode.SCHEMA_MISMATCH
    assert "field `image` is bytes" in refused.message
    assert "field `more` is repeated m.Row.MoreEntry" in refused.message


async def test_type_hints_are_checked_against_the_proto(tmp_path: Path) -> None:
    model = """
        from typing import TypedDict
        class Row(TypedDict):
            age: float
            income: float
        class Answer(TypedDict):
            p: float
        def predict(model, columns: Row) -> Answer: ...
    """

    refused = await refusal_of(load_of(written(tmp_path / "m", model), RISK))

    assert refused.code == SwapCode.SCHEMA_MISMATCH
    assert "column `income` (numeric): m.Row has no scalar field `income`" in refused.message
    assert "output field `label` (string): the model has no output `label`" in refused.message
