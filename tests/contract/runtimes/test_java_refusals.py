"""A jar as a model: what is refused, per request and at the swap."""

import asyncio

import pytest

from fakes.jar_hosts import ANN, CREDIT, FLOWERS, HOSTILE, IRIS, NUMBERS, ROWS, hosting, load, refusal_of, serving
from fakes.jars import jar, packed, unpacked
from hotswap.batch import Code, Format, Refusal
from hotswap.errors import SwapError

ODD = [
    ("Long", "null", "returned null"),
    ("Long", "half", "field `n`: the Double '0.5' is not a valid int64"),
    ("Small", "large", "field `n`: the Long '3000000000' is not a valid int32"),
    ("Long", "text", "field `n`: the String 'eight' is not a valid int64"),
    ("Long", "object", "the method returned a Numbers without a value for any field (n)"),
    ("Maybe", "object", "the method returned a Numbers without a value for any field (a, b)"),
    ("Long", "list", "returned 2 values for 1 fields (n)"),
    ("Long", "nested null", "field `n`: the method returned no value"),
    ("Maybe", "nested null", "the method returned null"),
    ("Long", "raises", "java.lang.IllegalStateException: as it was asked to, at numbers.Numbers.odd(Numbers.java:"),
    ("Long", "many digits", "is not a valid int64"),
    ("Number", "long", "field `d`: the Long '9007199254740993' is not a valid double"),
    ("Number", "text", "field `d`: the String 'eight' is not a valid double"),
    ("Text", "null", "returned null"),
    ("Text", "half a character", "half of a surrogate pair"),
]


async def test_almost_every_error_is_a_refusal_that_names_the_field_and_the_reason(put, java):
    """Acumos answers almost every error with an empty 200."""
    rpcs = {f"To{kind}": f"What {kind}" for kind in ("Long", "Small", "Number", "Text", "Maybe")}
    runtime = {"class": "numbers.Numbers", "method": "odd"}
    async with serving(java, load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        for operation, what, expected in ODD:
            refused = await served.ask(f"To{operation}", {"what": what})
            assert isinstance(refused, Refusal), what
            assert (refused.code, expected in refused.message) == (Code.MODEL_ERROR, True), (what, refused)
            assert (await served.ask("ToLong", {"what": "whole"})).n == 8
        assert (await served.ask("ToLong", {"what": "digits"})).n == 9007199254740993
        assert (await served.ask("ToText", {"what": "large"})).s == "3000000000"
        assert (await served.ask("ToLong", b"\xff")).code is Code.UNDECODABLE


async def test_a_missing_number_is_never_0_and_a_value_that_does_not_fit_is_refused_with_row_and_field(put, java):
    """Acumos turns a missing number into 0."""
    rpcs = {"bare": "Maybe Number", "texts": "Texts Text", "SumColumns": "Columns Numbers", "half": "Row Number"}
    runtime = {"class": "numbers.Numbers", "method.SumColumns": "sum"}
    async with serving(java, load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        told = {
            "absent": await served.ask("bare", {"b": 1}),
            "large": await served.ask("bare", {"a": 1, "b": 40_000}),
            "float": await served.ask("half", {"a": 1e300}),
            "letters": await served.ask("texts", {"letter": "ab"}),
            "ragged": await served.ask("SumColumns", {"a": [1]}),
        }
    async with serving(java, load(put("customers"), CREDIT, {"scoreAll": "Customers Decisions"})) as served:
        told["row"] = await served.ask("scoreAll", {"rows": [ANN, {"name": "Bob"}]})

    assert told == {
        "absent": Refusal(Code.MISSING_FIELD, "field `a`: there is no value, but double cannot be null"),
        "large": Refusal(Code.MISTYPED_FIELD, "field `b`: 40000 is out of the range of Short"),
        "float": Refusal(Code.MISTYPED_FIELD, "field `a`: 1e+300 is out of the range of Float"),
        "letters": Refusal(Code.MISTYPED_FIELD, "field `letter`: 'ab' is not one character"),
        "ragged": Refusal(Code.UNDECODABLE, "the columns of the request differ in length: a has 1, b has 0"),
        "row": Refusal(Code.MISSING_FIELD, "row 1, field `age`: there is no value, but int cannot be null"),
    }


async def test_a_request_gets_as_many_results_as_it_has_rows_or_is_refused(put, java):
    """Acumos silently drops a bad row: fewer rows come out, and nothing says which."""
    rpcs = {"dropsRows": "Rows Labels"}
    async with serving(java, load(put("texts"), IRIS, rpcs, {"class": "iris.Model"})) as served:
        refused = await served.ask("dropsRows", {"rows": [{"petal_len": 3}] * 3})

    assert refused == Refusal(Code.MODEL_ERROR, "the method returned 2 results for 3 rows")


async def test_each_rpc_calls_its_own_method(put, java):
    """In Acumos every rpc calls the same method."""
    rpcs = dict.fromkeys(("sum", "half", "Third", "Fourth"), "Whole Number")
    runtime = {"class": "numbers.Numbers", "method.Third": "weigh", "method.Fourth": "sumInts"}
    async with serving(java, load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        answers = [(await served.ask(operation, {"a": 1, "b": 3})).d for operation in rpcs]

    assert answers == [4, 0.5, 13, 4]


async def test_outputs_are_matched_by_name_and_not_by_type_or_order(put, java):
    """Acumos fills the output's fields by the runtime type of the results, in their order."""
    async with serving(
        java, load(put("numbers"), NUMBERS, {"table": "Rows Table"}, {"class": "numbers.Numbers"})
    ) as served:
        (row, _) = (await served.ask("table", ROWS)).rows

    assert (row.b, row.label, row.score) == (2, "L1.0", 0.25)


async def test_crlf_quotes_and_utf8_reach_the_jar_intact(put, java):
    """In Acumos CRLF loses the last column, quotes are not understood and UTF-8 is corrupted."""
    text = 'note,petal_len\r\n"a ""b"", ç\r\n☃",1.5\r\n'.encode()
    async with serving(java, load(put("texts"), IRIS, {"echo": "Rows Labels"}, {"class": "iris.Model"})) as served:
        told = await served.ask("echo", text, content=Format.CSV)

    assert told.prediction == ['sepal_len,petal_len,note\nnan,1.5,"a ""b"", ç\r\n☃"\n']


async def test_a_swap_to_a_jar_with_the_same_class_name_runs_the_new_code(put):
    """In Acumos the old code keeps answering."""
    runtime, rpcs = {"class": "iris.Model"}, {"predict": "Rows Labels"}
    async with (
        hosting(load(put("texts", "one"), IRIS, rpcs, runtime)) as first,
        hosting(load(put("texts_v2", "two"), IRIS, rpcs, runtime)) as second,
    ):
        assert (await first.ask("predict", FLOWERS)).prediction == ["versicolor", "virginica"]
        assert (await second.ask("predict", FLOWERS)).prediction == ["second", "second"]
        assert (await first.ask("predict", FLOWERS)).prediction == ["versicolor", "virginica"]


async def test_eight_concurrent_requests_are_all_answered_correctly(put):
    """In Acumos 0 to 2 of eight parallel requests are right."""
    lengths, expected = [1, 3, 5, 1, 3, 5, 1, 3], ["setosa", "versicolor", "virginica"]
    async with hosting(load(put("texts"), IRIS, {"predictFile": "Rows Labels"}, {"class": "iris.Model"})) as served:
        asks = [served.ask("predictFile", {"rows": [{"petal_len": length}]}) for length in lengths]
        answers = await asyncio.gather(*asks)

    assert [list(answer.prediction) for answer in answers] == [[expected[number % 3]] for number in range(8)]


UNFIT = {
    "absent": ("Row Number", "numbers.Numbers has no method `absent`; its public methods are: bare("),
    "hidden": ("Row Number", "method `hidden` of numbers.Numbers is not public: declare it `public`"),
    "nothing": ("Row Number", "the method returns nothing; it must return the prediction"),
    "unfilled": (
        "Row Number",
        "no field has the name of parameter `z`; the fields are: a, b; rename one, or name it in",
    ),
    "either": ("Row Number", "several methods fit: either(double, double) -> double, either(double[]) -> double; name"),
    "chosen": (
        "Rows Pair",
        "chosen(String, int) -> double: no field has the name of parameter `csv`, `depth`; the fields are: a, b",
    ),
    "texts": ("Row Text", "no field has the name of parameter `word`, `flag`, `letter`; the fields are: a, b"),
    "sumInts": ("Row Long", "field `a` (double) does not fit in int"),
    "bare": ("Row Number", "field `b` (double) does not fit in short"),
    "pair": ("Rows Pair", "a request may have several rows, but the output message holds one result: make it repeated"),
    "sum": ("Row Pair", "the method returns a double, but the output has 2 fields (label, v)"),
    "Decide": ("Row Pair", "numbers.Numbers has no method `decide`"),
}


NO_MODEL = {
    "Nobody": ({}, "public classes have a public method `act`: name the `class`"),
    "Nowhere": ({"class": "hostile.Nowhere"}, "no class `hostile.Nowhere`; the classes are: hostile.Escapes, "),
    "Hidden": ({"class": "hostile.Hidden"}, "hostile.Hidden is not public"),
    "Lacking": ({"class": "hostile.Lacking"}, "missing/Library (a class that it needs is missing"),
    "RaisesAtStart": ({"class": "hostile.RaisesAtStart"}, "its static initializer raised java.lang.NumberFormat"),
    "NeverMade": ({"class": "hostile.NeverMade"}, "no public constructor without parameters"),
    "RaisesWhenMade": ({"class": "hostile.RaisesWhenMade"}, "there is no model file"),
}


async def test_each_mismatched_operation_is_reported_at_the_swap_with_what_to_do(put, java):
    rpcs = {name: kinds for name, (kinds, _) in UNFIT.items()}

    refused = await refusal_of(java, load(put("numbers"), NUMBERS, rpcs, {"class": "numbers.Numbers"}))

    assert refused.code == "SCHEMA_MISMATCH"
    for name, (_, expected) in UNFIT.items():
        lines = [line for line in refused.message.splitlines() if line.startswith(f"{name}: ")]
        assert any(expected in line for line in lines), (name, refused.message)


@pytest.mark.parametrize("name", NO_MODEL)
async def test_a_class_that_cannot_be_used_is_refused_at_the_swap_with_the_reason(name, put, java):
    runtime, expected = NO_MODEL[name]

    refused = await refusal_of(java, load(put("hostile"), HOSTILE, {"act": "What Said"}, runtime))

    assert expected in refused.message
    assert refused.code == "MODEL_INVALID"


async def test_a_class_that_ends_the_host_is_refused_at_the_swap(put):
    given = load(put("hostile"), HOSTILE, {"act": "What Said"}, {"class": "hostile.ExitsAtStart"})

    with pytest.raises(SwapError, match="while it was loading the model: exit code 0") as refused:
        async with hosting(given):
            pass

    assert refused.value.code == "HOST_FAILED"


async def test_an_output_that_no_getter_fills_and_an_input_without_end_are_refused_at_the_swap(put, java):
    messages = CREDIT.replace("bool granted = 2;", "bool granted = 2; double limit = 12;")
    messages += "message Endless { string name = 1; Endless inner = 2; }"
    rpcs = {"score": "Customer Decision", "types": "Endless Decision"}

    refused = await refusal_of(java, load(put("customers"), messages, rpcs))

    assert refused.code == "SCHEMA_MISMATCH"
    assert "field `limit` (double): Decision has no property of that name, it has counts, granted" in refused.message
    assert "inner.name` (string) is nested too deeply: a message that contains itself has no end" in refused.message


async def test_a_jar_for_a_newer_java_is_refused_with_both_versions(put, java):
    files = unpacked(jar("texts"))
    newer = files["iris/Model.class"][:6] + (44 + 99).to_bytes(2) + files["iris/Model.class"][8:]
    path = put(packed({**files, "iris/Model.class": newer}))

    refused = await refusal_of(java, load(path, IRIS, {"predict": "Rows Labels"}, {"class": "iris.Model"}))

    assert refused.code == "MODEL_INVALID"
    assert "it was compiled for Java 99, but the workers run Java" in refused.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"garbage", "the artifact is neither a jar nor a zip of jars"),
        (packed({"readme.txt": b"no class"}), "the artifact holds no class"),
        (packed({"lib/broken.jar": b"garbage"}), "lib/broken.jar in the artifact is not a jar"),
    ],
)
async def test_garbage_is_refused(content, told, put, java):
    """Acumos accepts any file as a model with 200."""
    refused = await refusal_of(java, load(put(content), IRIS, {"predict": "Rows Labels"}))

    assert refused.code == "MODEL_INVALID"
    assert told in refused.message
