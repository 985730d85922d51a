"""The faults of the ancestor (Acumos' model runner), each a promise of the opposite; those of jars are in test_java.py.

one test that asserts status 200 and cannot fail    tests/faults/test_verifier.py, tests/model/mutants.py
a request in flight, garbage accepted, a slow swap  tests/system/test_acumos_fleet.py
"""

import asyncio
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.examples import COLD, EXAMPLES, IRIS, MIXED_GLM
from fakes.mojos import Mojo
from hotswap.artifacts.store import Store
from hotswap.batch import Ask, Code, Format, Refusal
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Policy, TextOptions
from hotswap.host.parent import ModelHost
from hotswap.settings import Settings

CSV = Ask("", Format.CSV, Format.CSV)
HEADER = "sepal_length,sepal_width,petal_length,petal_width"


def serving(lab, load):
    return lab.serving(load, lambda *_: None)


@asynccontextmanager
async def hosting(load):
    host = ModelHost(load=load, deadline_s=30, on_restart=pytest.fail, on_unknown=lambda *_: None, child=COLD)
    await host.start()
    try:
        yield host
    finally:
        await host.stop()


def lines(answer):
    return answer.decode().splitlines()


async def test_every_error_says_what_is_wrong_and_none_is_an_empty_answer(h2o):
    bad = [
        (b"\xff", Ask("")),
        (IRIS.requests()[0], Ask("nothing")),
        (b"", CSV),
        (f"{HEADER}\n5.1,3.5,abc,0.2\n".encode(), CSV),
        (b'{"petal_length": "long"}', Ask("", Format.JSON)),
        (b'{"petals": 4}', Ask("", Format.JSON)),
    ]

    async with serving(h2o, IRIS.load()) as host:
        answers = await host.score([value for value, _ in bad], [ask for _, ask in bad])

    assert [answer.code for answer in answers] == [Code.UNDECODABLE, Code.UNKNOWN_OPERATION, *[Code.UNDECODABLE] * 4]
    told = ["does not parse", "no operation `nothing`", "is empty", "column petal_length: 'abc'", "long", "petals"]
    assert all(what in answer.message for what, answer in zip(told, answers, strict=True))


async def test_a_bad_row_of_a_csv_is_named_and_no_row_is_dropped_silently(h2o):
    good = "5.1,3.5,1.4,0.2\n6.3,3.3,6.0,2.5\n"
    rows = IRIS.source.replace(b"rpc Classify(", b"rpc Many(Rows) returns (Answers); rpc Classify(")
    output = IRIS.operation.output.DESCRIPTOR.name.encode()
    rows += b"message Rows { repeated %s rows = 1; } " % IRIS.operation.input.DESCRIPTOR.name.encode()
    rows += b"message Answers { repeated %s rows = 1; }" % output

    async with serving(h2o, IRIS.load(proto=rows)) as host:
        whole, refused = await host.score(
            [f"{HEADER}\n{good}".encode(), f"{HEADER}\n{good}1,2,?,4\n".encode()], [CSV._replace(operation="Many")] * 2
        )

    assert [line.split(",")[0] for line in lines(whole)[1:]] == ["setosa", "virginica"]
    assert refused == Refusal(Code.UNDECODABLE, "row 3, column petal_length: '?' is not a number")


async def test_an_unseen_category_costs_nobody_else_an_answer(h2o):
    message = MIXED_GLM.operation.input
    requests = [message(x0=1, color=color, country="FR").SerializeToString() for color in ("green", "mauve", "red")]

    async with serving(h2o, MIXED_GLM.load()) as host:
        alone = [(await host.score([request]))[0] for request in (requests[0], requests[2])]
        first, unseen, third = await host.score(requests)
    async with serving(h2o, MIXED_GLM.load(configuration=Configuration(unknown_category=Policy.REFUSE))) as host:
        strict = await host.score(requests)

    assert [first, third] == alone
    assert isinstance(unseen, bytes)
    assert [strict[0], strict[2]] == alone
    assert strict[1].code is Code.UNKNOWN_CATEGORY


async def test_a_missing_number_is_missing_and_not_zero(h2o):
    message = MIXED_GLM.operation.input
    absent, zero = message(color="green", country="FR"), message(x0=0, color="green", country="FR")
    header = ",".join(part.name for part in message.DESCRIPTOR.fields)
    cells = {"color": "green", "country": "FR"}
    text = "\n".join([header, ",".join(cells.get(part.name, "") for part in message.DESCRIPTOR.fields)])

    async with serving(h2o, MIXED_GLM.load()) as host:
        missing, null, from_csv = await host.score(
            [absent.SerializeToString(), zero.SerializeToString(), text.encode()],
            [Ask(""), Ask(""), Ask("", Format.CSV)],
        )

    assert missing == from_csv
    assert missing != null


async def test_eight_parallel_requests_are_all_answered_right():
    requests = IRIS.requests()
    parts = [requests[start::8] for start in range(8)]

    async with hosting(IRIS.load()) as host:
        expected = await host.score(requests)
        answers = await asyncio.gather(*(host.score(part) for part in parts))

    assert [answers[index % 8][index // 8] for index in range(len(requests))] == expected


async def test_a_request_compiles_and_downloads_nothing(tmp_path):
    shutil.copy(EXAMPLES / "models" / "iris_gbm.zip", tmp_path / "model.zip")

    async with hosting(IRIS.load(model=tmp_path / "model.zip")) as host:
        (tmp_path / "model.zip").unlink()
        first = await host.score(IRIS.requests())
        process = Path(f"/proc/{host.pid}")
        held = [str(link.readlink()) for link in (process / "fd").iterdir()]
        connections = "".join((process / "net" / name).read_text() for name in ("tcp", "tcp6"))
        children = (process / "task" / str(host.pid) / "children").read_text()
        again = await host.score(IRIS.requests())

    assert first == again
    assert not [link for link in held if link.startswith("socket:") and f" {link[8:-1]} " in connections]
    assert children == ""


async def test_probabilities_are_answered_and_not_thrown_away(h2o):
    async with serving(h2o, IRIS.load()) as host:
        (answer, *_) = await host.score(IRIS.requests())

    given = IRIS.operation.output.FromString(answer)
    assert min(given.setosa, given.versicolor, given.virginica) > 0
    assert given.setosa + given.versicolor + given.virginica == pytest.approx(1)


@pytest.mark.parametrize(
    "mojo",
    [Mojo("autoencoder", "reconstruction"), Mojo("pca", "components"), Mojo("word2vec", "embedding", rows="words.csv")],
    ids=lambda mojo: mojo.name,
)
async def test_an_autoencoder_components_and_embeddings_are_answered_and_not_nothing(mojo, h2o):
    async with serving(h2o, mojo.load()) as host:
        answers = await host.score(mojo.requests()[: len(mojo.expected)])

    assert mojo.faults(answers) == []
    assert all(getattr(mojo.operation.output.FromString(answer), mojo.vector) for answer in answers)


async def test_outputs_go_to_fields_by_name_whatever_their_order_and_type(h2o):
    fields = "float setosa = 1; double virginica = 2; string versicolor = 3; string label = 4; double p_setosa = 5;"
    source = f"""syntax = "proto3"; message In {{ {
        " ".join(f"double {name} = {number};" for number, name in enumerate(HEADER.split(","), 1))
    } }} message Out {{ {fields} }} service S {{ rpc f(In) returns (Out); }}""".encode()

    async with serving(h2o, IRIS.load()) as known, serving(h2o, IRIS.load(proto=source)) as host:
        (expected, *_) = await known.score(IRIS.requests())
        (answer, *_) = await host.score(IRIS.requests())

    plain = IRIS.operation.output.FromString(expected)
    other = compile_proto(source).operations["f"].output.FromString(answer)
    assert other.label == "setosa"
    assert float(other.versicolor) == plain.versicolor
    assert (other.virginica, other.p_setosa) == (plain.virginica, plain.setosa)


@pytest.mark.parametrize(
    "text",
    [
        f"{HEADER}\r\n5.1,3.5,1.4,0.2\r\n",
        '"sepal_length","sepal_width",petal_length,"petal_width"\n"5.1","3.5","1.4","0.2"\n',
        f"\ufeff{HEADER}\n5.1,3.5,1.4,0.2",
        f"{HEADER},Größe\n5.1,3.5,1.4,0.2,“groß”\n",
    ],
    ids=["CRLF", "quotes", "byte order mark", "UTF-8"],
)
async def test_crlf_quotes_and_utf8_change_nothing_and_lose_no_column(text, h2o):
    async with serving(h2o, IRIS.load()) as host:
        from_text, plain = await host.score([text.encode(), IRIS.requests()[0]], [Ask("", Format.CSV), Ask("")])

    assert from_text == plain


async def test_utf8_in_a_request_comes_back_as_it_was(h2o):
    message = MIXED_GLM.operation.input
    value = "row 0, field `color`: 'Größe 😀' is not one of the categories"
    load = MIXED_GLM.load(configuration=Configuration(unknown_category=Policy.REFUSE, text=TextOptions(delimiter=";")))

    async with serving(h2o, load) as host:
        plain, text = await host.score(
            [message(color="Größe 😀").SerializeToString(), "color;x0\nGröße 😀;1".encode()], [Ask(""), CSV]
        )

    assert plain.message.startswith(value)
    assert text.message.startswith(value)


async def test_an_upload_is_kept_under_its_digest_never_under_the_name_that_the_client_gave_it(tmp_path):
    path = tmp_path / "..%2F..%2Fetc passwd;rm.zip"
    path.write_bytes(b"content")
    store = tmp_path / "store"

    uri, digest = await Store(Settings(store=store.as_uri())).upload(path)

    (kept,) = (file for file in store.rglob("*") if file.is_file())
    assert kept.parent == store / digest
    assert kept.name == ".._2F.._2Fetc_passwd_rm.zip"
    assert uri.startswith((store / digest).as_uri())


PROTO = """syntax = "proto3";{options}
{before}
message In {{{fields}}}
message Out {{ string label = 1; }}
service S {{ rpc f(In) returns (Out); }}"""
FIELDS = " ".join(f"double {name} = {number};" for number, name in enumerate(HEADER.split(","), 1))
NAMES = dict(zip(HEADER.split(","), "abcd", strict=True))


@pytest.mark.parametrize(
    ("parts", "columns"),
    [
        ({"fields": f"message Inner{{}} {FIELDS}"}, {}),
        ({"before": "message Other{int32 x=1;}"}, {}),
        ({"before": "// a message, an enum: message Foo {\n/* enum Bar { */"}, {}),
        ({"fields": f"{FIELDS} string message = 5; int32 enum_message = 6;"}, {}),
        ({"fields": "double x2y = 1; double y2x = 2; double x1 = 3; double _z = 4;"}, ["x2y", "y2x", "x1", "_z"]),
        ({"fields": "map<string, double> values = 1;"}, {}),
        ({"options": "package a.b.c;"}, {}),
        ({"options": 'option java_multiple_files = true; option java_package = "x.y";'}, {}),
        ({"fields": "oneof a { double sepal_length = 1; } double sepal_width = 2; double petal_length = 3; "
                    "oneof d { double petal_width = 4; int32 none = 5; }"}, {}),
        ({"options": 'import "google/protobuf/timestamp.proto";',
          "fields": f"{FIELDS} google.protobuf.Timestamp at = 5;"}, {}),
        ({"fields": FIELDS.replace("double", "optional double")}, {}),
    ],
    ids=["nested message", "no space", "comments", "names", "x2y", "map", "package", "java_multiple_files", "oneof",
         "import", "optional"],
)  # fmt: skip
async def test_a_proto_on_which_the_ancestors_parser_breaks_serves(parts, columns, h2o):
    source = PROTO.format(**{"options": "", "before": "", "fields": FIELDS, **parts}).encode()
    operation = compile_proto(source).operations["f"]
    names = dict(zip(NAMES, columns, strict=True)) if columns else {}
    values = dict(zip(HEADER.split(","), (5.1, 3.5, 1.4, 0.2), strict=True))
    given = {"values": values} if "map" in source.decode() else {names.get(name, name): x for name, x in values.items()}

    async with serving(h2o, IRIS.load(proto=source, configuration=Configuration(columns=names))) as host:
        (answer,) = await host.score([operation.input(**given).SerializeToString()])

    assert operation.output.FromString(answer).label == "setosa"
