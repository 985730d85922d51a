"""A jar as a model: how texts and values are passed in and returned."""

import tempfile
from functools import partial
from pathlib import Path

from fakes.jar_hosts import ANN, COLUMNS, CREDIT, FLOWERS, IRIS, NUMBERS, ROW, ROWS, hosting, load, refusal_of, serving
from fakes.processes import descriptors, names, nothing_left, temporary_folders
from hotswap.codec.proto import compile as compile_proto


async def test_an_acumos_jar_gets_rows_as_csv_and_returns_a_list_by_row(put, java):
    rpcs = dict.fromkeys(("predict", "predictFile", "predictPath", "echo"), "Rows Labels")
    runtime = {"modelClassName": "iris.Model", "modelInputType": "CSV", "modelOutputType": "java.util.List"}
    async with serving(java, load(put("texts"), IRIS, rpcs, runtime)) as served:
        for operation in ("predict", "predictFile", "predictPath"):
            assert (await served.ask(operation, FLOWERS)).prediction == ["versicolor", "virginica"], operation
        told = await served.ask("echo", {"rows": [{"petal_len": 1.5, "note": 'a "b", c\nd é'}]})

    assert told.prediction == ['sepal_len,petal_len,note\n0.0,1.5,"a ""b"", c\nd é"\n']


async def test_a_jar_gets_rows_as_json_or_as_a_file_if_configured(put, java):
    rows = {"rows": [{"petal_len": 1.5, "note": "é"}]}
    json_text = '[{"sepal_len": 0.0, "petal_len": 1.5, "note": "é"}]'
    runtime = {"class": "iris.Model", "input": "json"}
    async with serving(java, load(put("texts"), IRIS, {"echo": "Rows Labels"}, runtime)) as served:
        assert (await served.ask("echo", rows)).prediction == [json_text]
    runtime = {"class": "iris.Model", "input": "file", "output": "csv", "method.Named": "predictNamed"}
    async with serving(
        java, load(put("texts"), IRIS, {"Named": "Rows Labels", "table": "Rows Table"}, runtime)
    ) as served:
        assert (await served.ask("Named", FLOWERS)).prediction == ["versicolor", "virginica"]


async def test_json_of_an_acumos_jar_is_the_whole_message_and_its_lists_first_element_the_whole_answer(put, java):
    runtime = {"modelClassName": "iris.Model", "modelMethod": "echo", "modelInputType": "JSON"}
    messages = IRIS + "message Columns { repeated double a = 1; repeated double b = 2; } message One { double a = 1; }"
    rows = {"rows": [{"petal_len": 1.5, "note": "é"}, {}]}
    async with serving(java, load(put("texts"), messages, {"echo": "Rows Labels"}, runtime)) as served:
        (told,) = (await served.ask("echo", {"rows": rows["rows"][:1]})).prediction
        assert told == '{"rows": [{"sepal_len": 0.0, "petal_len": 1.5, "note": "é"}]}'

    runtime |= {"modelOutputType": "JSON", "method.drops": "dropsFirst"}
    rpcs = {"rows": "Rows Rows", "columns": "Columns Columns", "one": "One One", "drops": "Rows Rows"}
    async with serving(java, load(put("texts"), messages, rpcs, runtime)) as served:
        for operation, content in {"rows": rows, "columns": COLUMNS, "one": {"a": 5}}.items():
            answer = await served.ask(operation, content)
            assert answer == type(answer)(**content), operation
        refused = await served.ask("drops", rows)
        assert refused.message == "field `rows`: the method returned 1 values for 2 rows"


async def test_json_that_is_not_the_answer_of_an_acumos_jar_is_refused(put, java):
    runtime = {"modelClassName": "iris.Model", "modelOutputType": "JSON"}
    async with serving(java, load(put("texts"), IRIS, {"predict": "Rows Labels"}, runtime)) as served:
        refused = await served.ask("predict", FLOWERS)

    assert (refused.code, "returned json that is not an output message" in refused.message) == ("MODEL_ERROR", True)


async def test_text_that_a_jar_returns_is_parsed_as_csv_if_configured(put, java):
    runtime = {"class": "iris.Model", "output": "csv"}
    async with serving(java, load(put("texts"), IRIS, {"table": "Rows Table"}, runtime)) as served:
        table = await served.ask("table", FLOWERS)

    assert [(row.label, row.score) for row in table.rows] == [("versicolor", 0.5), ("virginica", 0.5)]


async def test_a_file_passed_to_a_jar_leaves_nothing_on_disk_and_nothing_open(put):
    before = temporary_folders()
    async with hosting(load(put("texts"), IRIS, {"predictFile": "Rows Labels"}, {"class": "iris.Model"})) as served:
        await served.ask("predictFile", FLOWERS)
        look = partial(descriptors, served.host.pid)
        before_the_second = look()
        assert (await served.ask("predictFile", FLOWERS)).prediction == ["versicolor", "virginica"]
        await nothing_left(before_the_second, look)
        (folder,) = set(temporary_folders()) - set(before)
        assert names(Path(tempfile.gettempdir()) / folder) == []
        served.host.kill()

    assert temporary_folders() == before


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


async def test_each_kind_of_parameter_is_filled_and_each_kind_of_result_fills_its_message(put, java):
    rpcs = {name: kinds for name, (kinds, _, _) in OPERATIONS.items()}
    runtime = {"class": "numbers.Numbers"} | {f"method.{name}": method for name, method in METHODS.items()}
    async with serving(java, load(put("numbers"), NUMBERS, rpcs, runtime)) as served:
        for name, (_, asked, expected) in OPERATIONS.items():
            assert await served.ask(name, asked) == served.operations[name].output(**expected), name


async def test_objects_are_created_from_nested_messages_and_read_from_getters_records_and_maps(put, java):
    rpcs = {"Score": "Customer Decision", "scoreAll": "Customers Decisions", "scoreArray": "Customers Decisions"}
    rpcs |= {"Each": "Customers Decisions", "types": "Customer Decision"}
    told = "Ann 30 null VERY_BAD true 1.0 2.5 Ulm/Point[x=1.0, y=2] a=1.0 b=2.0 2"
    async with serving(java, load(put("customers"), CREDIT, rpcs, {"method.Each": "score"})) as served:
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


async def test_the_configuration_maps_parameters_and_outputs_with_other_names(put, java):
    mapped = {"columns": {"z": "b"}, "outputs": {"granted": "score"}}
    messages = NUMBERS + "message Renamed { float granted = 1; } message Named { repeated Renamed rows = 1; }"
    rpcs = {"unfilled": "Row Number", "table": "Rows Named"}
    async with serving(java, load(put("numbers"), messages, rpcs, {"class": "numbers.Numbers"}, **mapped)) as served:
        assert (await served.ask("unfilled", ROW)).d == 0
        assert [row.granted for row in (await served.ask("table", ROWS)).rows] == [0.25, 0.25]


async def test_parameters_of_unknown_names_are_filled_by_position_if_there_are_as_many_fields(put, java):
    messages = IRIS + "message Two { double y = 1; double x = 2; } message Twos { repeated Two rows = 1; }"
    runtime = {"class": "iris.Model"}
    async with serving(java, load(put("texts"), messages, {"classify": "Twos Labels"}, runtime)) as served:
        answer = await served.ask("classify", {"rows": [{"y": 9, "x": 1}, {"x": 5}]})
    refused = await refusal_of(java, load(put("texts"), messages, {"classify": "Rows Labels"}, runtime))

    assert answer.prediction == ["setosa", "virginica"]
    told = "there are 2 parameters (double, double) but 3 fields (sepal_len, petal_len, note)"
    assert (refused.code, told in refused.message) == ("SCHEMA_MISMATCH", True)


async def test_one_object_lives_as_long_as_the_generation_and_only_requests_call_it(put):
    async with hosting(load(put("numbers"), NUMBERS, {"next": "Row Long"}, {"class": "numbers.Numbers"})) as served:
        assert [(await served.ask("next", ROW)).n for _ in range(3)] == [1, 2, 3]


async def test_samples_are_scored_before_the_jar_serves(put, java):
    sample = compile_proto(load(put("numbers"), NUMBERS, {"next": "Row Long"}).proto).operations["next"].input(**ROW)
    given = load(
        put("numbers"), NUMBERS, {"next": "Row Long"}, {"class": "numbers.Numbers"}, (sample.SerializeToString(),)
    )
    async with serving(java, given) as served:
        assert (await served.ask("next", ROW)).n > 1
    bad = load(put("numbers"), NUMBERS, {"odd": "What Long"}, {"class": "numbers.Numbers"}, (b"\x0a\x06raises",))
    refused = await refusal_of(java, bad)

    assert refused.code == "SAMPLE_REFUSED"
    assert "IllegalStateException: as it was asked to, at numbers.Numbers.odd(Numbers.java" in refused.message


def test_what_is_not_flat_goes_through_python_and_the_status_says_why(put, java):
    numbers = {"sum": "Row Number", "pair": "Row Pair", "table": "Rows Table", "odd": "What Long"}
    numbers |= {"SumColumns": "Columns Numbers"}
    runtime = {"class": "numbers.Numbers", "method.SumColumns": "sum"}
    nested = IRIS + "message Nested { Row row = 1; } message Far { double petal_len = 4097; }"
    nested += "message Either { oneof either { double petal_len = 2; double other = 3; } }"
    nested += "message Loose { repeated int32 prediction = 1 [packed = false]; }"
    acumos = {"modelClassName": "iris.Model", "modelMethod": "predict"}
    told = {
        **java.load(load(put("numbers"), NUMBERS, numbers, runtime)).paths,
        **java.load(load(put("texts"), IRIS, {"predictFile": "Rows Labels"}, {"class": "iris.Model"})).paths,
        **java.load(load(put("texts"), IRIS, {"echo": "Rows Labels"}, {"class": "iris.Model", "input": "json"})).paths,
        **java.load(load(put("texts"), nested, {"InMessage": "Nested Labels", "TooFar": "Far Labels"}, acumos)).paths,
        **java.load(load(put("texts"), nested, {"InOneof": "Either Labels", "Unpacked": "Row Loose"}, acumos)).paths,
    }
    parsed = java.load(
        load(put("texts"), IRIS, {"table": "Rows Table"}, {"class": "iris.Model", "output": "csv"})
    ).paths
    objects = java.load(load(put("customers"), CREDIT, {"score": "Customer Decision"})).paths

    assert told == {
        "sum": "in the JVM",
        "pair": "in the JVM",
        "table": "through Python: a row is passed as a Map",
        "odd": "through Python: the method does not declare what it returns",
        "SumColumns": "through Python: the columns of a request are repeated fields",
        "predictFile": "through Python: the rows are passed in a file",
        "echo": "through Python: the rows are passed as JSON",
        "InMessage": "through Python: field `row` (Row) is a cell of a CSV",
        "TooFar": "through Python: field number 4097 is beyond 4096",
        "InOneof": "through Python: field `petal_len` (double) is in a oneof, or a closed enum",
        "Unpacked": "through Python: output field `prediction` is not packed",
    }
    assert parsed["table"] == "through Python: the text that the method returns is parsed"
    assert objects["score"].startswith("through Python: field `")


async def test_a_refusal_names_no_place_in_our_own_code(put, java):
    messages = "message Which { int32 bit = 1; } message Is { bool it = 1; }"
    given = load(put("flat"), messages, {"get": "Which Is"}, {"class": "flat.Bits"})
    async with serving(java, given) as served:
        assert not (await served.ask("get", {"bit": 1})).it
        refused = await served.ask("get", {"bit": -1})

    assert refused.message == "the model raised java.lang.IndexOutOfBoundsException: bitIndex < 0: -1"


async def test_fields_that_are_called_as_methods_of_messages_reach_a_jar_and_come_back(put, java):
    messages = """
        message Row { optional double SerializeToString = 1; string DESCRIPTOR = 2; optional string HasField = 3; }
        message Rows { repeated Row ListFields = 1; }
        message Labels { repeated string Clear = 1; }
        message Columns { repeated double __class__ = 1; repeated string self = 2; }"""
    rpcs = {"echo": "Rows Labels", "columns": "Columns Labels"}
    rows = {"ListFields": [{"SerializeToString": 1.5, "DESCRIPTOR": "é"}]}
    columns = {"__class__": [1.5], "self": ["a"]}
    runtime = {"class": "iris.Model", "method.columns": "echo"}
    async with serving(java, load(put("texts"), messages, rpcs, runtime)) as served:
        assert (await served.ask("echo", rows)).Clear == ["SerializeToString,DESCRIPTOR,HasField\n1.5,é,\n"]
        assert (await served.ask("columns", columns)).Clear == ["__class__,self\n1.5,a\n"]
    async with serving(java, load(put("texts"), messages, rpcs, runtime | {"input": "json"})) as served:
        assert (await served.ask("echo", rows)).Clear == ['[{"SerializeToString": 1.5, "DESCRIPTOR": "é"}]']
        assert (await served.ask("columns", columns)).Clear == ['[{"__class__": 1.5, "self": "a"}]']
