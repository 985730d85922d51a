"""Real MOJOs as a model host loads and scores them: the same predictions as H2O's own, from bytes to bytes."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from fakes.examples import CANCER, COLD, EXAMPLES, GBM, IRIS, IRIS_GLM, MIXED_GLM, MIXED_KMEANS, Example
from hotswap.batch import Ask, Code
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError
from hotswap.generation import Configuration, Policy
from hotswap.host.parent import ModelHost

SMALLEST = 1e-9


def serving(lab, load, unknown=None):
    return lab.serving(load, ({} if unknown is None else unknown).__setitem__)


async def refusal_of(lab, load) -> SwapError:
    with pytest.raises(SwapError) as refused:
        async with serving(lab, load):
            pass
    return refused.value


def is_close(value: float, expected: str) -> bool:
    return abs(value - float(expected)) < SMALLEST  # pytest.approx takes seconds for thousands


def with_proto(example: Example, messages: str) -> bytes:
    return f'syntax = "proto3"; {messages} service S {{ rpc f(In) returns (Out); }}'.encode()


# ---- predictions


@pytest.mark.parametrize("example", [IRIS, IRIS_GLM, CANCER, GBM], ids=lambda example: example.model)
async def test_a_classifier_returns_h2os_own_labels_and_probabilities(example, h2o):
    async with serving(h2o, example.load()) as host:
        answers = await host.score(example.requests())

    for answer, expected in zip(answers, example.predictions(), strict=True):
        output = example.operation.output.FromString(answer)
        for part, value in output.ListFields():
            if isinstance(value, str):
                assert value == expected["predict"]
            else:
                assert is_close(value, expected[part.name.removeprefix("p_")])


async def test_a_regression_returns_h2os_own_values(h2o):
    async with serving(h2o, MIXED_GLM.load()) as host:
        answers = await host.score(MIXED_GLM.requests())

    values = [MIXED_GLM.operation.output.FromString(answer).value for answer in answers]
    assert all(map(is_close, values, (row["predict"] for row in MIXED_GLM.predictions())))


async def test_a_clustering_returns_h2os_own_clusters(h2o):
    async with serving(h2o, MIXED_KMEANS.load()) as host:
        answers = await host.score(MIXED_KMEANS.requests())

    clusters = [MIXED_KMEANS.operation.output.FromString(answer).cluster for answer in answers]
    assert clusters == [int(row["predict"]) for row in MIXED_KMEANS.predictions()]


async def test_a_mojo_unpacked_to_a_folder_answers_with_the_same_bytes(tmp_path, h2o):
    with zipfile.ZipFile(EXAMPLES / "models" / "iris_gbm.zip") as archive:
        archive.extractall(tmp_path / "a model, unpacked é")
    requests = IRIS.requests()

    async with (
        serving(h2o, IRIS.load()) as zipped,
        serving(h2o, IRIS.load(model=tmp_path / "a model, unpacked é")) as folder,
    ):
        assert await folder.score(requests) == await zipped.score(requests)


async def test_a_descriptor_set_answers_with_the_same_bytes(h2o):
    files = compile_proto(IRIS.source).files.SerializeToString()
    requests = IRIS.requests()

    async with (
        serving(h2o, IRIS.load()) as text,
        serving(h2o, IRIS.load(proto=files, is_descriptor_set=True)) as compiled,
    ):
        assert await compiled.score(requests) == await text.score(requests)


async def test_the_size_of_a_batch_and_the_shape_of_a_request_change_no_prediction(h2o):
    columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
    fields = " ".join(f"optional double {name} = {number};" for number, name in enumerate(columns, 1))
    source = f"""syntax = "proto3";
        message Row {{ {fields} }}
        message Rows {{ repeated Row rows = 1; }}
        message Columns {{ {fields.replace("optional", "repeated")} }}
        message Label {{ string label = 1; }}
        message Labels {{ repeated string label = 1; }}
        message Table {{ repeated Label rows = 1; }}
        service S {{
          rpc one(Row) returns (Label);
          rpc rows(Rows) returns (Table);
          rpc columns(Columns) returns (Labels);
        }}""".encode()
    operations = compile_proto(source).operations
    requests = IRIS.requests()
    parsed = [operations["one"].input.FromString(request) for request in requests]
    rows = operations["rows"].input(rows=parsed).SerializeToString()
    table = {name: [getattr(row, name) for row in parsed] for name in columns}
    batch = [*requests, rows, operations["columns"].input(**table).SerializeToString()]

    async with serving(h2o, IRIS.load(proto=source)) as host:
        answers = await host.score(batch, [Ask("one")] * len(requests) + [Ask("rows"), Ask("columns")])
        alone = [(await host.score([request], [Ask("one")]))[0] for request in requests[:20]]

    labels = [operations["one"].output.FromString(answer).label for answer in answers[:-2]]
    assert alone == answers[:20]
    assert [row.label for row in operations["rows"].output.FromString(answers[-2]).rows] == labels
    assert list(operations["columns"].output.FromString(answers[-1]).label) == labels


async def test_all_outputs_of_a_classifier_are_available(h2o):
    message = "string predict = 1; repeated double probabilities = 2; double confidence = 3; double score = 4;"
    numbers = " ".join(f"optional double x{number} = {number + 1};" for number in range(10))
    columns = f"{numbers} optional string color = 11; optional string country = 12;"
    source = with_proto(GBM, f"message In {{ {columns} }} message Out {{ {message} }}")
    output = compile_proto(source).operations["f"].output

    async with serving(h2o, GBM.load(proto=source)) as host:
        answers = await host.score(GBM.requests()[:50])

    for answer, expected in zip(answers, GBM.predictions(), strict=False):
        got = output.FromString(answer)
        no, yes = float(expected["no"]), float(expected["yes"])
        assert [*got.probabilities, got.score] == pytest.approx([no, yes, yes], abs=SMALLEST)
        assert got.confidence == pytest.approx(yes if got.predict == "yes" else no, abs=SMALLEST)


def with_offset(path: Path) -> Path:
    """Turn the shipped GLM into one that was trained with the offset column `exposure`."""
    with zipfile.ZipFile(EXAMPLES / "models" / "mixed_glm.zip") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "model.ini":
                facts, columns = content.decode().split("[columns]")
                added = "exposure\nx9"
                total = re.search(r"n_columns = (\d+)", facts)
                facts = facts.replace(total[0], f"n_columns = {int(total[1]) + 1}\noffset_column = exposure")
                content = f"{facts}[columns]{columns.replace('x9', added)}".encode()
            new.writestr(name, content)
    return path


async def test_a_model_with_an_offset_requires_and_adds_it(tmp_path, h2o):
    source = MIXED_GLM.source.replace(b"message Row {", b"message Row { optional double exposure = 99;")
    message = compile_proto(source).operations["Estimate"].input
    output = MIXED_GLM.operation.output
    requests = [request + message(exposure=2.5).SerializeToString() for request in MIXED_GLM.requests()[:50]]
    load = MIXED_GLM.load(model=with_offset(tmp_path / "offset.zip"), proto=source)

    async with serving(h2o, MIXED_GLM.load()) as plain, serving(h2o, load) as offset:
        without = [output.FromString(answer).value for answer in await plain.score(MIXED_GLM.requests()[:50])]
        missing = [output.FromString(answer).value for answer in await offset.score(MIXED_GLM.requests()[:50])]
        added = [output.FromString(answer).value for answer in await offset.score(requests)]

    assert missing == without
    assert [value - 2.5 for value in added] == pytest.approx(without, abs=SMALLEST)
    refused = await refusal_of(h2o, MIXED_GLM.load(model=load.model))
    assert "column `exposure` (numeric)" in refused.message


# ---- policies


async def test_unknown_categories_are_counted_and_scored_like_missing_ones(h2o):
    message, unknown = MIXED_GLM.operation.input, {}
    requests = [message(x0=1, color=color, country="FR").SerializeToString() for color in ("mauve", "", "teal")]

    async with serving(h2o, MIXED_GLM.load(), unknown) as host:
        first, missing, third = await host.score(requests)

    assert first == missing == third
    assert unknown == {"color": 2}


async def test_the_policies_refuse_what_is_configured(h2o):
    policies = Configuration(missing=Policy.REFUSE, unknown_category=Policy.REFUSE)
    message = MIXED_GLM.operation.input
    whole = dict.fromkeys((f"x{number}" for number in range(9)), 1.0)
    requests = [
        message(**whole, color="green", country="PL"),
        message(**whole, color="mauve", country="PL"),
        message(**{**whole, "x3": None}, color="green", country="PL"),
    ]

    async with serving(h2o, MIXED_GLM.load(configuration=policies)) as host:
        good, *refused = await host.score([request.SerializeToString() for request in requests])

    assert isinstance(good, bytes)
    assert [refusal.code for refusal in refused] == [Code.UNKNOWN_CATEGORY, Code.MISSING_FIELD]
    assert "'mauve'" in refused[0].message
    assert "`x3`" in refused[1].message


async def test_an_unknown_operation_is_refused_with_the_known_ones(h2o):
    (request, *_) = IRIS.requests()

    async with serving(h2o, IRIS.load()) as host:
        answers = await host.score([request] * 4, [Ask(name) for name in ("Classify", "classify", "", "predict")])

    assert answers[0] == answers[2]
    assert [answer.code for answer in answers[1::2]] == [Code.UNKNOWN_OPERATION] * 2
    assert answers[1].message == "there is no operation `classify`; set the header `operation` to one of: Classify"


# ---- what is refused at the start


def broken(tmp_path: Path, how: str) -> Path:
    whole = EXAMPLES / "models" / "iris_gbm.zip"
    path = tmp_path / "model.zip"
    if how == "garbage":
        path.write_bytes(b"this is no zip at all")
    elif how == "truncated":
        path.write_bytes(whole.read_bytes()[:2_000])
    elif how == "another zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    elif how == "a part is gone":
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                if not name.startswith("domains/"):
                    new.writestr(name, old.read(name))
    elif how == "an empty folder":
        path.mkdir()
    elif how == "a senseless model.ini":
        path.mkdir()
        (path / "model.ini").write_text("[info]\nalgo = nonsense\n")
    return path


@pytest.mark.parametrize(
    "how",
    ["garbage", "truncated", "another zip", "a part is gone", "an empty folder", "a senseless model.ini", "nothing"],
)
async def test_an_artifact_that_is_not_a_mojo_is_refused(tmp_path, how, h2o):
    refused = await refusal_of(h2o, IRIS.load(model=broken(tmp_path, how)))

    assert refused.code == "MODEL_INVALID"
    assert "not a readable H2O MOJO" in refused.message
    assert str(tmp_path) not in refused.message


async def test_a_model_and_a_proto_of_different_domains_are_refused_with_every_column(h2o):
    refused = await refusal_of(h2o, CANCER.load(proto=IRIS.source))

    assert refused.code == "SCHEMA_MISMATCH"
    assert refused.message.count("Classify: column `") == 30
    assert refused.message.count("Classify: output field `") == 4


@pytest.mark.parametrize(
    ("proto", "code", "told"),
    [
        (b"message {", "PROTO_INVALID", "model.proto:1:9: Expected message name."),
        (b'syntax = "proto3"; message In {}', "NO_OPERATION", "no service with an rpc"),
    ],
)
async def test_a_proto_that_cannot_serve_is_refused(proto, code, told, h2o):
    refused = await refusal_of(h2o, IRIS.load(proto=proto))

    assert (refused.code, told in refused.message) == (code, True)


async def test_a_refused_sample_fails_the_start_and_leaves_no_process():
    samples = (IRIS.requests()[0], b"\xff\xff")
    host = ModelHost(
        load=IRIS.load(samples=samples), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=COLD
    )

    with pytest.raises(SwapError, match="sample 1 was refused: UNDECODABLE") as refused:
        await host.start()

    assert (refused.value.code, host.pid) == ("SAMPLE_REFUSED", None)


async def test_an_unknown_runtime_is_refused(h2o):
    refused = await refusal_of(h2o, IRIS.load(kind="pmml"))

    assert (refused.code, "`pmml`" in refused.message) == ("KIND_MISSING", True)


async def test_the_configuration_maps_different_names(tmp_path, h2o):
    fields = "double a = 1; double b = 2; double c = 3; double d = 4;"
    source = with_proto(
        IRIS, f"message Leaf {{ {fields} }} message In {{ Leaf leaf = 1; }} message Out {{ string x = 1; }}"
    )
    names = dict(zip(("sepal_length", "sepal_width", "petal_length", "petal_width"), "abcd", strict=True))
    configuration = Configuration(columns={name: f"leaf.{to}" for name, to in names.items()}, outputs={"x": "predict"})
    message = compile_proto(source).operations["f"].input(leaf={"a": 5.1, "b": 3.5, "c": 1.4, "d": 0.2})
    shutil.copy(EXAMPLES / "models" / "iris_gbm.zip", tmp_path / "copy.zip")

    async with serving(h2o, IRIS.load(model=tmp_path / "copy.zip", proto=source, configuration=configuration)) as host:
        (answer,) = await host.score([message.SerializeToString()])

    assert answer == b"\x0a\x06setosa"
