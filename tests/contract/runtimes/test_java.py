"""Real jars through a real model host: what a method is given, what becomes of its result, and what is refused."""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.jars import HAS_JDK, NAMES, OWN, compiled, jar, jdk, packed, prebuilt, unpacked
from fakes.processes import is_running, left_behind, names
from hotswap.batch import Ask, Code, Format, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError
from hotswap.generation import Configuration, frozen
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost

IRIS = """
message Row { double sepal_len = 1; double petal_len = 2; optional string note = 3; }
message Rows { repeated Row rows = 1; }
message Labels { repeated string prediction = 1; }
message Scored { string label = 1; float score = 2; }
message Table { repeated Scored rows = 1; }
"""
NUMBERS = """
message Row { double a = 1; double b = 2; }
message Whole { int32 a = 1; int32 b = 2; }
message Maybe { optional double a = 1; optional int64 b = 2; }
message Texts { string word = 1; bool flag = 2; string letter = 3; }
message Rows { repeated Row rows = 1; }
message Columns { repeated double a = 1; repeated double b = 2; }
message Vector { repeated double x = 1; }
message What { string what = 1; }
message Number { double d = 1; }
message Long { int64 n = 1; }
message Small { int32 n = 1; }
message Text { string s = 1; }
message Numbers { repeated double d = 1; }
message Pair { string label = 1; double v = 2; }
message Two { double x = 1; double y = 2; }
message Columnar { repeated string label = 1; repeated double v = 2; }
message Scored { double b = 1; string label = 2; float score = 3; }
message Table { repeated Scored rows = 1; }
"""
CREDIT = """
message Point { double x = 1; int32 y = 2; }
message Address { string city = 1; Point point = 2; }
enum Rating { RATING_UNSPECIFIED = 0; RATING_GOOD = 1; RATING_VERY_BAD = 2; }
message Customer {
  string name = 1; optional int32 age = 2; optional int32 children = 3; repeated double incomes = 4;
  repeated Address addresses = 5; Rating rating = 6; map<string, double> scores = 7; bytes photo = 8; bool vip = 9;
}
message Customers { repeated Customer rows = 1; }
message Decision {
  string text = 1; bool granted = 2; optional Rating rating = 3; repeated double terms = 4; repeated Point points = 5;
  map<string, int64> counts = 6; bytes token = 7; optional int32 nothing = 8;
}
message Decisions { repeated Decision rows = 1; }
"""
HOSTILE = "message What { string what = 1; } message Said { string said = 1; }"
ANN = {
    "name": "Ann",
    "age": 30,
    "incomes": [1, 2.5],
    "addresses": [{"city": "Ulm", "point": {"x": 1, "y": 2}}],
    "rating": "RATING_VERY_BAD",
    "scores": {"b": 2, "a": 1},
    "photo": b"\0\1",
    "vip": True,
}
ROW, ROWS, COLUMNS = {"a": 1, "b": 2}, {"rows": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, {"a": [1, 3], "b": [2, 4]}
FLOWERS = {"rows": [{"petal_len": 3}, {"sepal_len": 9, "petal_len": 5}]}


class Served:
    """A jar in a host; `ask` gives the answer to one request, as a message or a refusal."""

    def __init__(self, host, operations):
        self.host = host
        self.operations = operations

    async def ask(self, operation, asked, content=Format.PROTOBUF):
        rpc = self.operations[operation]
        value = asked if isinstance(asked, bytes) else rpc.input(**asked).SerializeToString()
        (answer,) = await self.host.score([value], [Ask(operation, content)])
        return answer if isinstance(answer, Refusal) else rpc.output.FromString(answer)


def load(path, messages, rpcs, runtime=None, samples=(), **configuration):
    """`rpcs`: operation -> "Input Output"."""
    service = " ".join("rpc {} ({}) returns ({});".format(name, *kinds.split()) for name, kinds in rpcs.items())
    return Load(
        generation=1,
        kind="java",
        model=path,
        proto=f'syntax = "proto3"; {messages} service S {{ {service} }}'.encode(),
        is_descriptor_set=False,
        configuration=Configuration(runtime=frozen(runtime), **configuration),
        samples=samples,
        heap_mb=128,
    )


@asynccontextmanager
async def serving(given, restarts=None, deadline_s=30.0):
    host = ModelHost(
        load=given,
        deadline_s=deadline_s,
        on_restart=pytest.fail if restarts is None else restarts.append,
        on_unknown=pytest.fail,
    )
    await host.start()
    try:
        yield Served(host, compile_proto(given.proto).operations)
    finally:
        await host.stop()


async def refusal_of(given) -> SwapError:
    host = ModelHost(load=given, deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail)
    try:
        with pytest.raises(SwapError) as refused:
            await host.start()
    finally:
        await host.stop()
    return refused.value


@pytest.fixture
def put(tmp_path):
    """Write a jar of the tests, or any bytes, to a file as the store would give it: without an ending."""

    def write(content, name="content"):
        path = tmp_path / name
        path.write_bytes(jar(content) if isinstance(content, str) else content)
        return path

    return write


# ---- text


async def test_rows_go_to_a_jar_of_the_ancestor_as_csv_and_its_list_comes_back_by_row(put):
    rpcs = dict.fromkeys(("predict", "predictFile", "predictPath", "echo"), "Rows Labels")
    runtime = {"modelClassName": "iris.Model", "modelInputType": "CSV", "modelOutputType": "java.util.List"}
    async with serving(load(put("texts"), IRIS, rpcs, runtime)) as served:
        for operation in ("predict", "predictFile", "predictPath"):
            assert (await served.ask(operation, FLOWERS)).prediction == ["versicolor", "virginica"], operation
        told = await served.ask("echo", {"rows": [{"petal_len": 1.5, "note": 'a "b", c\nd é'}]})

    assert told.prediction == ['sepal_len,petal_len,note\n0.0,1.5,"a ""b"", c\nd é"\n']


async def test_rows_go_to_a_jar_as_json_or_as_the_name_of_a_file_where_the_configuration_says_so(put):
    rows = {"rows": [{"petal_len": 1.5, "note": "é"}]}
    json_text = '[{"sepal_len": 0.0, "petal_len": 1.5, "note": "é"}]'
    runtime = {"class": "iris.Model", "input": "json"}
    async with serving(load(put("texts"), IRIS, {"echo": "Rows Labels"}, runtime)) as served:
        assert (await served.ask("echo", rows)).prediction == [json_text]
    runtime = {"class": "iris.Model", "input": "file", "output": "csv", "method.Named": "predictNamed"}
    async with serving(load(put("texts"), IRIS, {"Named": "Rows Labels", "table": "Rows Table"}, runtime)) as served:
        assert (await served.ask("Named", FLOWERS)).prediction == ["versicolor", "virginica"]


async def test_a_text_that_a_jar_returns_is_read_as_csv_where_the_configuration_says_so(put):
    runtime = {"class": "iris.Model", "output": "csv"}
    async with serving(load(put("texts"), IRIS, {"table": "Rows Table"}, runtime)) as served:
        table = await served.ask("table", FLOWERS)

    assert [(row.label, row.score) for row in table.rows] == [("versicolor", 0.5), ("virginica", 0.5)]


async def test_a_file_that_a_jar_is_given_leaves_nothing_on_disk_and_nothing_open(put):
    before = left_behind()
    async with serving(load(put("texts"), IRIS, {"predictFile": "Rows Labels"}, {"class": "iris.Model"})) as served:
        await served.ask("predictFile", FLOWERS)
        opened = names(f"/proc/{served.host.pid}/fd")
        assert (await served.ask("predictFile", FLOWERS)).prediction == ["versicolor", "virginica"]
        assert names(f"/proc/{served.host.pid}/fd") == opened
        (folder,) = set(left_behind()[2]) - set(before[2])
        assert names(Path(tempfile.gettempdir()) / folder) == []
        served.host.kill()

    assert left_behind()[2] == before[2]


# ---- values

TABLE = {"rows": [{"label": "L1.0", "score": 0.25, "b": 2}, {"label": "L3.0", "score": 0.25, "b": 4}]}
OPERATIONS = {
    "sum": ("Row Number", ROW, {"d": 3}),
    "half": ("Row Number", ROW, {"d": 0.5}),
    "sumInts": ("Whole Long", ROW, {"n": 3}),
    "sumLongs": ("Whole Number", ROW, {"d": 3}),
    "join": ("Texts Text", {"word": "w", "flag": True}, {"s": "w|true|"}),
    "list": ("Maybe Text", ROW, {"s": "1.0:Double 2:Long"}),
    "weigh": ("Whole Number", ROW, {"d": 12}),
    "boxed": ("Maybe Number", ROW, {"d": 3}),
    "Absent": ("Maybe Number", {"b": 1}, {"d": -1}),
    "bare": ("Maybe Number", ROW, {"d": 3}),
    "texts": ("Texts Text", {"word": "w", "flag": True, "letter": "é"}, {"s": "wtrueé"}),
    "doubled": ("Vector Numbers", {"x": [1, 2, 3]}, {"d": [2, 4, 6]}),
    "sums": ("Rows Numbers", ROWS, {"d": [3, 7]}),
    "total": ("Rows Number", ROWS, {"d": 10}),
    "table": ("Rows Table", ROWS, TABLE),
    "pair": ("Row Pair", ROW, {"label": "P", "v": 1}),
    "DoubledByPlace": ("Row Two", ROW, {"x": 2, "y": 4}),
    "generic": ("Row Long", ROW, {"n": 2}),
    "PairsByColumn": ("Rows Columnar", ROWS, {"label": ["P", "P"], "v": [1, 3]}),
    "SumEach": ("Rows Numbers", ROWS, {"d": [3, 7]}),
    "SumColumns": ("Columns Numbers", COLUMNS, {"d": [3, 7]}),
    "TableOfColumns": ("Columns Table", COLUMNS, TABLE),
    "SumOfVector": ("Vector Number", {"x": [1, 2, 3]}, {"d": 6}),
    "NoRows": ("Rows Numbers", {}, {"d": []}),
}  # fmt: skip
METHODS = {
    "Absent": "boxed", "SumEach": "sum", "SumColumns": "sum", "TableOfColumns": "table", "SumOfVector": "sum",
    "NoRows": "sums", "PairsByColumn": "pair", "DoubledByPlace": "doubled",
}  # fmt: skip


async def test_each_kind_of_parameter_is_filled_and_each_kind_of_result_fills_its_message(put):
    rpcs = {name: kinds for name, (kinds, _, _) in OPERATIONS.items()}
    runtime = {"class": "numbers.Numbers"} | {f"method.{name}": method for name, method in METHODS.items()}
    async with serving(load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        for name, (_, asked, expected) in OPERATIONS.items():
            assert await served.ask(name, asked) == served.operations[name].output(**expected), name


async def test_objects_are_made_of_nested_messages_and_read_back_from_getters_records_and_maps(put):
    rpcs = {"Score": "Customer Decision", "scoreAll": "Customers Decisions", "scoreArray": "Customers Decisions"}
    rpcs |= {"Each": "Customers Decisions", "types": "Customer Decision"}
    told = "Ann 30 null VERY_BAD true 1.0 2.5 Ulm/Point[x=1.0, y=2] a=1.0 b=2.0 2"
    async with serving(load(put("customers"), CREDIT, rpcs, {"method.Each": "score"})) as served:
        made = served.operations["Score"].output
        decision = made(
            text=told, rating="RATING_VERY_BAD", terms=[30, 0.5], counts={"age": 30}, token=b"\1\xff",
            points=[{"x": 1.5, "y": 2}],
        )  # fmt: skip
        assert await served.ask("Score", ANN) == decision
        for operation in ("scoreAll", "scoreArray", "Each"):
            assert list((await served.ask(operation, {"rows": [ANN, ANN]})).rows) == [decision] * 2, operation
        types = await served.ask("types", ANN)

    assert types.text == (
        "addresses:ArrayList age:Integer children:null incomes:ArrayList name:String photo:byte[] rating:String "
        "scores:LinkedHashMap vip:Boolean"
    )
    assert (types.rating, list(types.terms), types.token) == (2, [1, 2.5], b"")
    assert [(point.x, point.y) for point in types.points] == [(1, 2), (3.5, 4)]


async def test_the_configuration_maps_parameters_and_outputs_that_have_other_names(put):
    mapped = {"columns": {"z": "b"}, "outputs": {"granted": "score"}}
    messages = NUMBERS + "message Renamed { float granted = 1; } message Named { repeated Renamed rows = 1; }"
    rpcs = {"unfilled": "Row Number", "table": "Rows Named"}
    async with serving(load(put("numbers"), messages, rpcs, {"class": "numbers.Numbers"}, **mapped)) as served:
        assert (await served.ask("unfilled", ROW)).d == 0
        assert [row.granted for row in (await served.ask("table", ROWS)).rows] == [0.25, 0.25]


async def test_parameters_whose_names_are_not_known_are_filled_by_position_where_there_are_as_many_fields(put):
    messages = IRIS + "message Two { double y = 1; double x = 2; } message Twos { repeated Two rows = 1; }"
    runtime = {"class": "iris.Model"}
    async with serving(load(put("texts"), messages, {"classify": "Twos Labels"}, runtime)) as served:
        answer = await served.ask("classify", {"rows": [{"y": 9, "x": 1}, {"x": 5}]})
    refused = await refusal_of(load(put("texts"), messages, {"classify": "Rows Labels"}, runtime))

    assert answer.prediction == ["setosa", "virginica"]
    told = "there are 2 parameters (double, double) and 3 fields (sepal_len, petal_len, note)"
    assert (refused.code, told in refused.message) == ("SCHEMA_MISMATCH", True)


async def test_one_object_lives_as_long_as_the_generation_and_nothing_calls_it_but_requests(put):
    async with serving(load(put("numbers"), NUMBERS, {"next": "Row Long"}, {"class": "numbers.Numbers"})) as served:
        assert [(await served.ask("next", ROW)).n for _ in range(3)] == [1, 2, 3]


async def test_samples_are_scored_before_the_jar_serves(put):
    sample = compile_proto(load(put("numbers"), NUMBERS, {"next": "Row Long"}).proto).operations["next"].input(**ROW)
    given = load(
        put("numbers"), NUMBERS, {"next": "Row Long"}, {"class": "numbers.Numbers"}, (sample.SerializeToString(),)
    )
    async with serving(given) as served:
        assert (await served.ask("next", ROW)).n > 1
    bad = load(put("numbers"), NUMBERS, {"odd": "What Long"}, {"class": "numbers.Numbers"}, (b"\x0a\x06raises",))
    refused = await refusal_of(bad)

    assert refused.code == "SAMPLE_REFUSED"
    assert "IllegalStateException: as it was asked to, at numbers.Numbers.odd(Numbers.java" in refused.message


# ---- refusals

ODD = [
    ("Long", "null", "returned null"),
    ("Long", "half", "field `n`: the Double '0.5' is no int64"),
    ("Small", "large", "field `n`: the Long '3000000000' is no int32"),
    ("Long", "text", "field `n`: the String 'eight' is no int64"),
    ("Long", "object", "the method gave a Numbers with no value of any field (n)"),
    ("Maybe", "object", "the method gave a Numbers with no value of any field (a, b)"),
    ("Long", "list", "gave 2 values for 1 fields (n)"),
    ("Long", "nested null", "field `n`: the method gave no value"),
    ("Long", "raises", "java.lang.IllegalStateException: as it was asked to, at numbers.Numbers.odd(Numbers.java:"),
    ("Long", "many digits", "is no int64"),
    ("Number", "long", "field `d`: the Long '9007199254740993' is no double"),
    ("Number", "text", "field `d`: the String 'eight' is no double"),
    ("Text", "null", "returned null"),
    ("Text", "half a character", "half of a surrogate pair"),
]


async def test_almost_every_error_is_a_refusal_that_names_the_field_and_the_reason(put):
    """The ancestor answers almost every error with an empty 200."""
    rpcs = {f"To{kind}": f"What {kind}" for kind in ("Long", "Small", "Number", "Text", "Maybe")}
    runtime = {"class": "numbers.Numbers", "method": "odd"}
    async with serving(load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        for operation, what, expected in ODD:
            refused = await served.ask(f"To{operation}", {"what": what})
            assert isinstance(refused, Refusal), what
            assert (refused.code, expected in refused.message) == (Code.MODEL_ERROR, True), (what, refused)
            assert (await served.ask("ToLong", {"what": "whole"})).n == 8
        assert (await served.ask("ToLong", {"what": "digits"})).n == 9007199254740993
        assert (await served.ask("ToText", {"what": "large"})).s == "3000000000"
        assert (await served.ask("ToLong", b"\xff")).code is Code.UNDECODABLE


async def test_a_missing_number_is_never_0_and_a_value_that_does_not_fit_is_refused_with_row_and_field(put):
    """The ancestor makes 0 of a missing number."""
    rpcs = {"bare": "Maybe Number", "texts": "Texts Text", "SumColumns": "Columns Numbers", "half": "Row Number"}
    runtime = {"class": "numbers.Numbers", "method.SumColumns": "sum"}
    async with serving(load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        told = {
            "absent": await served.ask("bare", {"b": 1}),
            "large": await served.ask("bare", {"a": 1, "b": 40_000}),
            "float": await served.ask("half", {"a": 1e300}),
            "letters": await served.ask("texts", {"letter": "ab"}),
            "ragged": await served.ask("SumColumns", {"a": [1]}),
        }
    async with serving(load(put("customers"), CREDIT, {"scoreAll": "Customers Decisions"})) as served:
        told["row"] = await served.ask("scoreAll", {"rows": [ANN, {"name": "Bob"}]})

    assert told == {
        "absent": Refusal(Code.MISSING_FIELD, "field `a`: there is no value, and double has no null"),
        "large": Refusal(Code.MISTYPED_FIELD, "field `b`: 40000 is out of the range of Short"),
        "float": Refusal(Code.MISTYPED_FIELD, "field `a`: 1e+300 is out of the range of Float"),
        "letters": Refusal(Code.MISTYPED_FIELD, "field `letter`: 'ab' is not one character"),
        "ragged": Refusal(Code.UNDECODABLE, "the columns of the request are not of one length: a has 1, b has 0"),
        "row": Refusal(Code.MISSING_FIELD, "row 1, field `age`: there is no value, and int has no null"),
    }


async def test_as_many_rows_come_out_as_went_in_or_the_request_is_refused(put):
    """The ancestor drops a bad row in silence: fewer rows come out, and nothing says which."""
    rpcs = {"dropsRows": "Rows Labels"}
    async with serving(load(put("texts"), IRIS, rpcs, {"class": "iris.Model"})) as served:
        refused = await served.ask("dropsRows", {"rows": [{"petal_len": 3}] * 3})

    assert refused == Refusal(Code.MODEL_ERROR, "the method gave 2 results for 3 rows")


# ---- the ancestor's other faults


async def test_each_rpc_calls_a_method_of_its_own(put):
    """In the ancestor every rpc calls the same method."""
    rpcs = dict.fromkeys(("sum", "half", "Third", "Fourth"), "Whole Number")
    runtime = {"class": "numbers.Numbers", "method.Third": "weigh", "method.Fourth": "sumInts"}
    async with serving(load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        answers = [(await served.ask(operation, {"a": 1, "b": 3})).d for operation in rpcs]

    assert answers == [4, 0.5, 13, 4]


async def test_outputs_are_matched_by_name_and_not_by_type_or_order(put):
    """The ancestor fills the output's fields by the runtime type of the results, in their order."""
    async with serving(load(put("numbers"), NUMBERS, {"table": "Rows Table"}, {"class": "numbers.Numbers"})) as served:
        (row, _) = (await served.ask("table", ROWS)).rows

    assert (row.b, row.label, row.score) == (2, "L1.0", 0.25)


async def test_crlf_quotes_and_utf8_reach_the_jar_as_they_were_meant(put):
    """In the ancestor CRLF loses the last column, quotes are not understood and UTF-8 is corrupted."""
    text = 'note,petal_len\r\n"a ""b"", ç\r\n☃",1.5\r\n'.encode()
    async with serving(load(put("texts"), IRIS, {"echo": "Rows Labels"}, {"class": "iris.Model"})) as served:
        told = await served.ask("echo", text, content=Format.CSV)

    assert told.prediction == ['sepal_len,petal_len,note\nnan,1.5,"a ""b"", ç\r\n☃"\n']


async def test_a_jar_swapped_for_another_with_the_same_class_name_is_the_new_code(put):
    """In the ancestor the old code keeps answering."""
    runtime, rpcs = {"class": "iris.Model"}, {"predict": "Rows Labels"}
    async with (
        serving(load(put("texts", "one"), IRIS, rpcs, runtime)) as first,
        serving(load(put("texts_v2", "two"), IRIS, rpcs, runtime)) as second,
    ):
        assert (await first.ask("predict", FLOWERS)).prediction == ["versicolor", "virginica"]
        assert (await second.ask("predict", FLOWERS)).prediction == ["second", "second"]
        assert (await first.ask("predict", FLOWERS)).prediction == ["versicolor", "virginica"]


async def test_eight_requests_at_once_are_all_answered_right(put):
    """In the ancestor 0 to 2 of eight parallel requests are right."""
    lengths, expected = [1, 3, 5, 1, 3, 5, 1, 3], ["setosa", "versicolor", "virginica"]
    async with serving(load(put("texts"), IRIS, {"predictFile": "Rows Labels"}, {"class": "iris.Model"})) as served:
        asks = [served.ask("predictFile", {"rows": [{"petal_len": length}]}) for length in lengths]
        answers = await asyncio.gather(*asks)

    assert [list(answer.prediction) for answer in answers] == [[expected[number % 3]] for number in range(8)]


# ---- what a swap refuses

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
    "pair": ("Rows Pair", "a request has many rows, and the output message holds one result: make it repeated"),
    "sum": ("Row Pair", "the method returns a double, and the output has 2 fields (label, v)"),
    "Decide": ("Row Pair", "numbers.Numbers has no method `decide`"),
}
NO_MODEL = {
    "Nobody": ({}, "public classes have a public method `act`: name the `class`"),
    "Nowhere": ({"class": "hostile.Nowhere"}, "no class `hostile.Nowhere`; the classes are: hostile.ExitsAtStart, "),
    "Hidden": ({"class": "hostile.Hidden"}, "hostile.Hidden is not public"),
    "Lacking": ({"class": "hostile.Lacking"}, "missing/Library (a class that it needs is not there"),
    "RaisesAtStart": ({"class": "hostile.RaisesAtStart"}, "its static initializer raised java.lang.NumberFormat"),
    "NeverMade": ({"class": "hostile.NeverMade"}, "no public constructor without parameters"),
    "RaisesWhenMade": ({"class": "hostile.RaisesWhenMade"}, "there is no model file"),
    "ExitsAtStart": ({"class": "hostile.ExitsAtStart"}, "while it loaded the model: exit code 0"),
}


async def test_each_operation_that_does_not_fit_is_told_at_the_swap_with_what_to_do(put):
    rpcs = {name: kinds for name, (kinds, _) in UNFIT.items()}

    refused = await refusal_of(load(put("numbers"), NUMBERS, rpcs, {"class": "numbers.Numbers"}))

    assert refused.code == "SCHEMA_MISMATCH"
    for name, (_, expected) in UNFIT.items():
        lines = [line for line in refused.message.splitlines() if line.startswith(f"{name}: ")]
        assert any(expected in line for line in lines), (name, refused.message)


@pytest.mark.parametrize("name", NO_MODEL)
async def test_a_class_that_cannot_be_used_is_refused_at_the_swap_with_the_reason(name, put):
    runtime, expected = NO_MODEL[name]

    refused = await refusal_of(load(put("hostile"), HOSTILE, {"act": "What Said"}, runtime))

    assert expected in refused.message
    assert refused.code == ("HOST_FAILED" if name == "ExitsAtStart" else "MODEL_INVALID")


async def test_an_output_that_no_getter_fills_and_an_input_without_end_are_refused_at_the_swap(put):
    messages = CREDIT.replace("bool granted = 2;", "bool granted = 2; double limit = 12;")
    messages += "message Endless { string name = 1; Endless inner = 2; }"
    rpcs = {"score": "Customer Decision", "types": "Endless Decision"}

    refused = await refusal_of(load(put("customers"), messages, rpcs))

    assert refused.code == "SCHEMA_MISMATCH"
    assert "field `limit` (double): Decision has no property of that name, it has counts, granted" in refused.message
    assert "inner.name` (string) is nested too deep: a message within itself has no end" in refused.message


async def test_a_jar_for_a_newer_java_is_refused_with_both_versions(put):
    files = unpacked(jar("texts"))
    newer = files["iris/Model.class"][:6] + (44 + 99).to_bytes(2) + files["iris/Model.class"][8:]
    path = put(packed({**files, "iris/Model.class": newer}))

    refused = await refusal_of(load(path, IRIS, {"predict": "Rows Labels"}, {"class": "iris.Model"}))

    assert refused.code == "MODEL_INVALID"
    assert "it was compiled for Java 99, and the workers run Java" in refused.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"garbage", "the artifact is no jar, and no zip with jars"),
        (packed({"readme.txt": b"no class"}), "the artifact holds no class"),
        (packed({"lib/broken.jar": b"garbage"}), "lib/broken.jar in the artifact is no jar"),
    ],
)
async def test_garbage_is_no_model(content, told, put):
    """The ancestor accepts any file as a model with 200."""
    refused = await refusal_of(load(put(content), IRIS, {"predict": "Rows Labels"}))

    assert refused.code == "MODEL_INVALID"
    assert told in refused.message


# ---- class paths


def split(name, part):
    """A jar in two: what has `part` in its name, and the rest."""
    files = unpacked(jar(name))
    library = {path: content for path, content in files.items() if part in path}
    return packed(library), packed({path: content for path, content in files.items() if path not in library})


async def test_a_zip_or_a_folder_of_jars_is_one_class_path(put, tmp_path):
    library, model = split("customers", "Point")
    bundle = put(packed({"lib/deep/geo.jar": library, "scorer.jar": model, "readme.txt": b"read me"}))
    (tmp_path / "folder" / "lib").mkdir(parents=True)
    for path, content in unpacked(model).items():
        target = tmp_path / "folder" / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    (tmp_path / "folder" / "lib" / "geo.jar").write_bytes(library)
    for path in (bundle, tmp_path / "folder"):
        async with serving(load(path, CREDIT, {"score": "Customer Decision"})) as served:
            assert "Point[x=1.0, y=2]" in (await served.ask("score", ANN)).text
    refused = await refusal_of(load(put(packed({"scorer.jar": model})), CREDIT, {"score": "Customer Decision"}))

    assert (refused.code, "credit/Point" in refused.message) == ("MODEL_INVALID", True)


async def test_the_class_is_found_by_the_manifest_or_by_its_method_and_the_host_says_so(put):
    found = {}
    for name, messages, rpcs in (
        ("customers", CREDIT, {"score": "Customer Decision"}),
        ("texts", IRIS, {"Predict": "Rows Labels"}),
    ):
        host = ModelHost(load=load(put(name), messages, rpcs), deadline_s=30, on_restart=print, on_unknown=print)
        found[name] = (await host.start()).columns
        await host.stop()

    assert found == {
        "customers": "Java score: credit.Scorer.score(Customer) -> Decision (the manifest's Main-Class)",
        "texts": "Java Predict: iris.Model.predict(String) -> List<String> (the only public class with `predict`)",
    }


# ---- harm


HARMS = {
    "exit": (Code.HOST_CRASHED, "exit code 7"),
    "halt": (Code.HOST_CRASHED, "exit code 0"),
    "hangs in a shutdown hook": (Code.HOST_TOO_SLOW, "3000 ms"),
    "loop": (Code.HOST_TOO_SLOW, "3000 ms"),
    "heap": (Code.HOST_CRASHED, "out of memory (the Java heap)"),
    "native": (Code.HOST_CRASHED, "out of memory"),
}


@pytest.fixture
async def hostile(put):
    restarts = []
    given = load(put("hostile"), HOSTILE, {"act": "What Said"}, {"class": "hostile.Hostile"})
    async with serving(given, restarts, deadline_s=3.0) as served:
        served.restarts = restarts
        yield served


async def test_requests_that_make_a_jar_end_its_host_are_refused_and_the_rest_is_scored(hostile):
    message, said = hostile.operations["act"].input, hostile.operations["act"].output
    asked = [what for number, harm in enumerate(HARMS) for what in (harm, f"good {number}")]

    answers = await hostile.host.score([message(what=what).SerializeToString() for what in asked])

    for what, answer in zip(asked, answers, strict=True):
        if what not in HARMS:
            assert said.FromString(answer).said == what
            continue
        code, told = HARMS[what]
        assert (answer.code, told in answer.message) == (code, True), (what, answer)
    assert len(hostile.restarts) == len(HARMS) + 1


async def test_a_jar_that_recurses_raises_reads_writes_or_starts_threads_harms_nobody(hostile):
    hostile.host._deadline_s = 30.0
    told = {}
    for what in ("recursion", "raise", "raise what cannot be told", "missing class", "stdin", "stdout", "threads"):
        answer = await hostile.ask("act", {"what": what})
        told[what] = answer.message if isinstance(answer, Refusal) else answer.said
    pid = hostile.host.pid

    assert told["recursion"].startswith("the model raised java.lang.StackOverflowError, at hostile.Hostile.act(")
    assert "IllegalStateException: as it was asked to" in told["raise"]
    assert told["raise what cannot be told"].startswith("the model raised hostile.Hostile$1, at hostile.Hostile.act(")
    assert "NoClassDefFoundError: missing/Library" in told["missing class"]
    assert [told[what] for what in ("stdin", "stdout", "threads")] == ["read -1", "wrote", "threads"]
    assert hostile.restarts == []
    await hostile.host.stop()
    assert not is_running(pid)


async def test_each_request_finds_the_jars_own_class_loader_whatever_the_one_before_has_done(hostile):
    answers = [(await hostile.ask("act", {"what": what})).said for what in ("which loader", "loader", "which loader")]

    assert answers == ["mine", "changed", "mine"]


# ---- the command line, and the jars themselves


def test_a_csv_is_scored_on_the_command_line_by_a_jar_and_the_ancestors_configuration(put, tmp_path):
    config = tmp_path / "modelConfig.properties"
    config.write_text("# as it is\nmodelClassName=iris.Model\nmodelMethod = predict\nmodelInputType: CSV\n")
    proto = tmp_path / "iris.proto"
    proto.write_bytes(load(None, IRIS, {"transform": "Rows Labels"}).proto)
    rows = tmp_path / "flowers.csv"
    rows.write_text("petal_len,sepal_len\n1,1\n3,1\n")
    command = ("-m", "hotswap", "score", rows, "--model", put("texts"), "--kind", "java")

    done = subprocess.run(
        [sys.executable, *command, "--proto", proto, "--config", config], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "row,prediction\n1,setosa\n2,versicolor\n"), done.stderr


@pytest.mark.skipif(not HAS_JDK, reason="there is no JDK 17 or newer: the jars are taken as they lie")
@pytest.mark.parametrize("name", [*NAMES, OWN])
def test_the_jars_that_lie_here_are_what_their_sources_say(name):
    now, then = unpacked(compiled(name)), unpacked(prebuilt(name).read_bytes())

    assert now.keys() == then.keys()
    if jdk() == 17:  # another compiler may write other bytes
        assert now == then
