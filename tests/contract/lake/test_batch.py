"""`hotswap batch` on Spark gives a row the answer that a model host gives its request, or the same refusal."""

import csv
import io

import pytest

from faults.odd_headers import Model, by_batch, difference, predicted
from harness.fleet import EXAMPLES
from harness.lab import TESTS
from harness.lake import Commands, by_row, pack, write_parquet
from hotswap.batch import Ask, Format, Refusal
from hotswap.generation import Configuration, Policy, frozen
from hotswap.local.jvm import find_java

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(
        not find_java().has_module("jdk.incubator.vector"),
        reason="PySpark's own launcher needs a whole Java, and this one lacks the module jdk.incubator.vector",
    ),
]

WORDS = b"""
syntax = "proto3";
message What { string what = 1; int32 number = 2; }
message Said { string said = 1; }
service Model { rpc act (What) returns (Said); }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="module")
def commands(folder):
    with Commands.started(folder) as started:
        yield started


@pytest.fixture(scope="module")
def mojo(folder):
    proto = (EXAMPLES / "protos" / "gbm_50x5.proto").read_bytes()
    strict = Configuration(unknown_category=Policy.REFUSE, max_request_bytes=200)
    return pack(folder / "mojo", "h2o", EXAMPLES / "models" / "gbm_50x5.zip", proto, strict)


@pytest.fixture(scope="module")
def flowers():
    """Rows of the MOJO, some of them bad, with a column of their own that its proto does not have."""
    with (EXAMPLES / "data" / "gbm_50x5.csv").open(newline="") as file:
        rows = [{**row, "id": str(number)} for number, row in enumerate(csv.DictReader(file))][:400]
    rows[7]["color"], rows[8]["country"], rows[9]["color"] = "plaid", "é", "x" * 300
    return rows


def assert_same(output, packed, answers, key="id"):
    """Compare the rows of an output with what a host answered, by the rows' keys."""
    rows = by_row(output, key)
    (operation,) = packed.schema.operations.values()
    assert rows.keys() == answers.keys()
    for name, answer in answers.items():
        row = rows[name]
        if isinstance(answer, Refusal):
            assert (row["refusal_code"], row["refusal_reason"]) == (answer.code, answer.message)
            assert (row["answer"], row["answer_message"]) == (None, None)
            continue
        assert (row["answer_message"], row["refusal_code"], row["refusal_reason"]) == (answer, None, None)
        message = operation.output.FromString(answer)
        for field in message.DESCRIPTOR.fields:
            value = getattr(message, field.name)
            expected = list(value) if field.is_repeated else value
            if field.has_presence and not message.HasField(field.name):
                expected = None
            assert row["answer"][field.name] == expected


def typed(row):
    numbers = {name: float(value) if value else None for name, value in row.items() if name.startswith("x")}
    return {**row, **numbers, "color": row["color"] or None, "country": row["country"] or None}


async def test_a_mojo_scores_parquet_as_a_host_does_and_a_second_run_does_only_what_is_missing(
    commands, folder, mojo, flowers
):
    rows = [typed(row) for row in flowers]
    for number in range(4):
        write_parquet(folder / "flowers" / f"{number}.parquet", rows[number::4])
    output = folder / "flowers.out"
    ran = commands.batch(folder / "flowers" / "*.parquet", output, mojo.path)
    (operation,) = mojo.schema.operations.values()
    fields = operation.input.DESCRIPTOR.fields_by_name
    values = [
        operation.input(**{k: v for k, v in row.items() if k in fields and v is not None}).SerializeToString()
        for row in rows
    ]
    assert ran.stdout, ran.stderr
    assert ran.code == 1  # some rows are refused
    fits = [value for value in values if len(value) <= 200]
    answers = iter(await mojo.answers(folder, fits, [Ask(operation.name)] * len(fits)))
    too_large = Refusal("TOO_LARGE", f"{len(values[9])} bytes, but max_request_bytes allows 200")
    expected = {r["id"]: next(answers) if len(v) <= 200 else too_large for r, v in zip(rows, values, strict=True)}
    assert_same(output, mojo, expected)
    assert ran.report["refused"] == {"TOO_LARGE": 1, "UNKNOWN_CATEGORY": 2}
    assert {row["package_digest"] for row in by_row(output, "id").values()} == {ran.report["package_digest"]}

    # A partition without its mark is not done; one that is, is left as it is; a file that is new is one more.
    write_parquet(folder / "flowers" / "9.parquet", [{**rows[0], "id": "new"}])
    (output / "partition=00000" / "_SUCCESS").unlink()
    again = commands.batch(folder / "flowers" / "*.parquet", output, mojo.path)
    assert (again.report["partitions_kept"], again.report["partitions"]) == (0, 2)
    assert_same(output, mojo, {**expected, "new": expected["0"]})
    before = sorted(file.stat().st_mtime_ns for file in output.rglob("*.parquet"))
    third = commands.batch(folder / "flowers" / "*.parquet", output, mojo.path)
    assert (third.report["partitions_kept"], third.report["rows"]) == (2, len(rows) + 1)
    assert sorted(file.stat().st_mtime_ns for file in output.rglob("*.parquet")) == before


def test_an_output_is_not_added_to_by_another_package_nor_with_other_rows(commands, folder, mojo, flowers):
    rows, output = [typed(row) for row in flowers[:7]], folder / "one.out"
    write_parquet(folder / "one" / "a.parquet", rows)
    assert commands.batch(folder / "one", output, mojo.path).code == 0
    other = pack(folder / "other", "h2o", mojo.model, mojo.proto, Configuration())
    refused = commands.batch(folder / "one", output, other.path)
    write_parquet(folder / "one" / "a.parquet", rows[:1])
    changed = commands.batch(folder / "one", output, mojo.path)
    (folder / "one.own").mkdir()
    own = commands.batch(folder / "one", folder / "one.own", mojo.path)
    assert (refused.code, changed.code, own.code) == (2, 2, 2)
    assert "one.out exists, and was scored by a package (h2o model" in refused.stderr
    assert "begun with other content of" in changed.stderr
    assert "is not an output of `hotswap batch`" in own.stderr


async def test_a_csv_is_read_as_the_stream_reads_it_and_refused_with_its_words(commands, folder, mojo, flowers):
    rows = [dict(row) for row in flowers]
    rows[1]["x0"], rows[2]["x3"], rows[3]["x4"], rows[4]["color"] = "abc", " 1.5 ", "1e999", 'a "red"\nline'
    names = list(rows[0])
    texts = []
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row.values())
        texts.append(line.getvalue())
    texts[5] = texts[5].rpartition(",")[0] + "\n"  # one cell too few: it has no id
    header = ",".join(names) + "\n"
    (folder / "rows.csv").write_text(header + "".join(texts))
    output = folder / "rows.out"
    ran = commands.batch(folder / "rows.csv", output, mojo.path)
    (operation,) = mojo.schema.operations.values()
    asks = [Ask(operation.name, Format.CSV, Format.PROTOBUF)] * len(rows)
    answers = await mojo.answers(folder, [f"{header}{text}".encode() for text in texts], asks)
    expected = {row["id"]: answer for row, answer in zip(rows, answers, strict=True)}
    expected[None] = expected.pop("5")
    assert ran.stdout, ran.stderr
    assert ran.code == 1
    assert "cells, but the header names" in expected[None].message
    size = 12 * 9 - 18 + 303 + 4
    expected["9"] = Refusal("TOO_LARGE", f"{size} bytes, but max_request_bytes allows 200")
    assert_same(output, mojo, expected)


async def test_a_jar_that_raises_and_exits_refuses_the_rows_that_made_it(commands, folder):
    runtime = frozen({"class": "hostile.Hostile"})
    jar = pack(folder / "jar", "java", TESTS / "jars" / "hostile.jar", WORDS, Configuration(runtime=runtime))
    rows = [{"id": str(number), "what": f"word {number}", "number": number} for number in range(60)]
    rows[10]["what"], rows[20]["what"], rows[30]["number"] = "raise", "exit", 1 << 40
    rows[40]["number"] = None
    write_parquet(folder / "words" / "a.parquet", rows)
    ran = commands.batch(folder / "words", folder / "words.out", jar.path, "--conf", "spark.sql.shuffle.partitions=2")
    assert ran.stdout, ran.stderr
    assert ran.code == 1
    (operation,) = jar.schema.operations.values()
    good = [operation.input(what=row["what"], number=n).SerializeToString() for n, row in enumerate(rows)]
    answers = list(await jar.answers(folder, good, [Ask("act")] * len(good)))
    header = "what,number\n"
    texts = [f"{header}word 30,{1 << 40}\n".encode(), f"{header}word 40,\n".encode()]
    answers[30], answers[40] = await jar.answers(folder, texts, [Ask("act", Format.CSV, Format.PROTOBUF)] * 2)
    assert_same(folder / "words.out", jar, {row["id"]: answer for row, answer in zip(rows, answers, strict=True)})
    assert ran.report["refused"] == {"HOST_CRASHED": 1, "MODEL_ERROR": 1, "UNDECODABLE": 2}, ran.stderr


async def test_a_python_function_scores_files_and_refuses_the_row_that_makes_it_raise(commands, folder):
    source = """
def predict(model, columns):
    return {"said": [word.upper() if number else 1 / 0 for word, number in zip(columns["what"], columns["number"])]}
"""
    (folder / "shouting").mkdir()
    (folder / "shouting" / "model.py").write_text(source)
    function = pack(folder / "function", "python", folder / "shouting", WORDS, Configuration())
    rows = [{"id": str(number), "what": f"word {number}", "number": number} for number in range(60)]
    write_parquet(folder / "shouted" / "a.parquet", rows)

    ran = commands.batch(folder / "shouted", folder / "shouted.out", function.path)

    assert (ran.code, ran.report["refused"]) == (1, {"MODEL_ERROR": 1}), ran.stderr
    (operation,) = function.schema.operations.values()
    requests = [operation.input(what=row["what"], number=n).SerializeToString() for n, row in enumerate(rows)]
    answers = list(await function.answers(folder, requests, [Ask("act")] * len(requests)))
    assert operation.output.FromString(answers[7]).said == "WORD 7"
    assert "ZeroDivisionError" in answers[0].message
    assert_same(folder / "shouted.out", function, {row["id"]: one for row, one in zip(rows, answers, strict=True)})


def test_columns_that_do_not_fit_are_named_with_their_fields_before_anything_is_scored(commands, folder):
    proto = b"""syntax = "proto3"; message Row { double petal_len = 1; } message Rows { repeated Row rows = 1; }
        message Labels { repeated string prediction = 1; } service Model { rpc predict (Rows) returns (Labels); }"""
    runtime = frozen({"class": "iris.Model"})
    jar = pack(folder / "texts", "java", TESTS / "jars" / "texts.jar", proto, Configuration(runtime=runtime))
    write_parquet(folder / "typed" / "a.parquet", [{"petal_len": "long"}])
    write_parquet(folder / "lacking" / "a.parquet", [{"petal_length": 1.0}])
    write_parquet(folder / "ours" / "a.parquet", [{"petal_len": 1.0, "answer": 1}])
    said = {
        name: commands.batch(folder / name, folder / f"{name}.out", jar.path)
        for name in ("typed", "lacking", "ours", "nowhere")
    }
    assert {ran.code for ran in said.values()} == {2}, said
    assert "column petal_len (string) cannot fill the field petal_len (double)" in said["typed"].stderr
    assert "none of the CSV's columns (petal_length)" in said["lacking"].stderr
    assert "has columns answer, whose names the output reserves" in said["ours"].stderr
    assert "has no files" in said["nowhere"].stderr
    assert [name for name in said if (folder / f"{name}.out").exists()] == []


@pytest.mark.parametrize("name", ["cases", "dots"])
def test_columns_with_odd_names_are_scored_as_h2o_scores_them(commands, folder, name):
    model = Model(name, folder)
    ran = commands.run("pack", model.mojo, "--sample", model.table, "--out", folder / name)
    assert ran.code == 0, ran.stderr
    for way, said in by_batch(commands.run, folder, model).items():
        assert difference(said, predicted(name)) == "", way
