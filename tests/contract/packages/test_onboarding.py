"""What `hotswap pack` makes of real models, and that a model host takes it."""

import csv
import sys
import zipfile
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.examples import CANCER, EXAMPLES, GBM, IRIS, MIXED_GLM, MIXED_KMEANS, read_csv
from fakes.jars import jar
from hotswap.artifacts.archive import write_zip
from hotswap.client.change import artifact_of
from hotswap.codec.fields import Column
from hotswap.codec.golden import GoldenAnswers
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.reader import read_rows
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, frozen
from hotswap.host.describe import ask
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost
from hotswap.packages.configuration import read_configuration
from hotswap.packages.onboarding import Wish, onboard
from hotswap.packages.package import open_package
from hotswap.packages.packing import write_package
from hotswap.settings import Settings

ACUMOS = Path(__file__).parents[4] / "shared" / "models" / "acumos"


@pytest.fixture
def settings(tmp_path):
    return Settings(cache=tmp_path / "cache", store=(tmp_path / "store").as_uri())


def load(package, model, **changes):
    given = {
        "generation": 1, "kind": package.kind, "model": model, "proto": package.proto.source,
        "is_descriptor_set": package.proto.is_descriptor_set, "configuration": package.configuration,
        "samples": package.samples, "heap_mb": 128,
    }  # fmt: skip
    return Load(**{**given, **changes})


@asynccontextmanager
async def host_of(lab, settings, package):
    async with (
        artifact_of(settings, package.model, package.kind) as model,
        lab.serving(load(package, model), print) as host,
    ):
        yield host


async def started(load, golden):
    host = ModelHost(load=load, deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail)
    await host.start(golden=golden)
    await host.stop()


async def predict(lab, settings, package, rows_file):
    """The package's own answer to all rows of a CSV in one request."""
    operation = compile_proto(package.proto.source).operations["transform"]
    with rows_file.open(newline="") as file:
        rows = read_rows(file, "csv", operation.input)
        request = Layout(operation.input).pack(row.message for row in rows)
    async with host_of(lab, settings, package) as host:
        (answer,) = await host.score([request.SerializeToString()])
    return operation.output.FromString(answer)


def odd_mojo(path):
    """The iris model with columns and classes whose names no identifier can hold, as R has them."""
    with zipfile.ZipFile(EXAMPLES / "models" / "iris_gbm.zip") as mojo:
        content = {name: mojo.read(name) for name in mojo.namelist()}
    names = {b"sepal_length": b"Sepal.Length", b"sepal_width": b"sepal_Length", b"petal_length": b"sepal length"}
    for old, new in names.items():
        content["model.ini"] = content["model.ini"].replace(old, new)
    classes = {b"versicolor": b"vir-gin", b"virginica": b"vir_gin"}
    (domain,) = (name for name in content if name.startswith("domains/"))
    for old, new in classes.items():
        content[domain] = content[domain].replace(old, new)
    write_zip(path, content)
    return path


@pytest.mark.parametrize("example", [IRIS, CANCER, GBM, MIXED_GLM, MIXED_KMEANS], ids=lambda e: e.model)
async def test_a_packed_model_answers_what_h2o_predicts(settings, tmp_path, example, h2o, pack_in):
    pack_in(h2o)
    sample = EXAMPLES / "data" / f"{example.rows_file}.csv"
    wish = Wish(model=EXAMPLES / "models" / f"{example.model}.zip", sample=sample)
    content, _ = await onboard(settings, wish)
    assert (content.configuration, content.version) == (Configuration(), "1.0.0")  # it fits without any mapping
    with open_package(write_package(content, tmp_path / "out")[-1]) as package:
        assert len(package.samples) == 100
        said = await predict(h2o, settings, package, sample)
    wanted = example.predictions()
    for name in wanted[0]:
        values = list(getattr(said, name if name == "predict" else f"p_{name}"))
        known = [row[name] for row in wanted]
        if isinstance(values[0], str):
            assert values == known
        else:
            assert values == pytest.approx(list(map(float, known)), abs=1e-9), name


async def test_a_model_is_packed_with_its_own_answers_which_a_host_with_it_gives_and_another_does_not(
    settings, tmp_path
):
    iris, sample = EXAMPLES / "models" / "iris_gbm.zip", EXAMPLES / "data" / "iris.csv"
    content, _ = await onboard(settings, Wish(model=iris, sample=sample, golden=7))
    with open_package(write_package(content, tmp_path / "out")[-1]) as package:
        golden = package.golden.read_bytes()
        async with artifact_of(settings, iris, "h2o") as model:
            await started(load(package, model), golden)
        async with artifact_of(settings, EXAMPLES / "models" / "iris_glm.zip", "h2o") as model:
            with pytest.raises(
                SwapError, match=r"7 of 7 golden rows.*\nrow 1, p_setosa\[0\]: expected 0\.945"
            ) as raised:
                await started(load(package, model), golden)
    assert raised.value.code == "GOLDEN_MISMATCH"
    rows = GoldenAnswers.parse(golden).rows
    assert [row.answer["predict"] for row in rows] == [["setosa"]] * 7


async def test_a_model_says_what_it_takes_and_gives(settings):
    async with artifact_of(settings, EXAMPLES / "models" / "gbm_50x5.zip", "h2o") as model:
        interface = await ask(GBM.load(model=model, proto=b""))
    assert interface.description.startswith("H2O GBM, Binomial: ")
    assert interface.columns[0] == Column("x0")
    assert Column("color", ("blue", "green", "red", "yellow")) in interface.columns
    outputs = {output.name: output for output in interface.outputs}
    assert (outputs["predict"].classes, outputs["predict"].aliases[:2]) == (("no", "yes"), ("predict", "prediction"))
    assert (outputs["p_no"].start, outputs["probabilities"].is_vector) == (1, True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os; os._exit(7)", "failed while it loaded the model"),
        ("from hotswap.host import frames; send(frames.pack_facts(frames.Kind.READY, {}))", "is malformed"),
        ("from hotswap.host import frames; send(frames.pack_announcement(1, 1))", "is not valid JSON"),
    ],
)
async def test_a_host_that_gives_no_sound_description_is_an_error_and_leaves_nothing(tmp_path, code, reason):
    (tmp_path / "child.py").write_text(
        f"import socket, sys\nend = socket.socket(fileno=int(sys.argv[1]))\nsend = end.sendall\n{code}\n"
    )
    with pytest.raises(SwapError, match=reason) as error:
        await ask(IRIS.load(proto=b""), child=(sys.executable, str(tmp_path / "child.py")))
    assert error.value.code == "HOST_FAILED"


async def test_names_that_no_identifier_can_hold_are_packed_with_their_mapping(settings, tmp_path, h2o, pack_in):
    pack_in(h2o)
    content, notes = await onboard(settings, Wish(model=odd_mojo(tmp_path / "odd.zip")))
    assert content.configuration.columns == {"Sepal.Length": "Sepal_Length_2", "sepal length": "sepal_length_3"}
    assert content.configuration.outputs == {"p_vir_gin_2": "p_vir-gin", "p_vir_gin": "p_vir_gin"}
    assert "column 'Sepal.Length' is called Sepal_Length_2 in the proto" in notes
    with (
        open_package(write_package(content, tmp_path / "out")[-1]) as package,
        (tmp_path / "rows.csv").open("w", newline="") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["Sepal_Length_2", "sepal_Length", "sepal_length_3", "petal_width"])
        columns = ("sepal_length", "sepal_width", "petal_length", "petal_width")
        writer.writerows([row[name] for name in columns] for row in read_csv(EXAMPLES / "data" / "iris.csv"))
        file.flush()
        said = await predict(h2o, settings, package, tmp_path / "rows.csv")
    renamed = {"versicolor": "vir-gin", "virginica": "vir_gin"}
    wanted = IRIS.predictions()
    assert list(said.predict) == [renamed.get(row["predict"], row["predict"]) for row in wanted]
    assert list(said.p_vir_gin_2) == pytest.approx([float(row["versicolor"]) for row in wanted], abs=1e-9)
    assert list(said.p_vir_gin) == pytest.approx([float(row["virginica"]) for row in wanted], abs=1e-9)


async def test_what_a_worker_would_refuse_is_not_packed(settings, tmp_path):
    iris = EXAMPLES / "models" / "iris_gbm.zip"
    write_zip(tmp_path / "garbage.zip", {"model.ini": b"[info]\n"})
    for code, wish in (
        ("SCHEMA_MISMATCH", Wish(model=iris, proto=EXAMPLES / "protos" / "cancer.proto")),
        ("SCHEMA_MISMATCH", Wish(model=iris, configuration=Configuration(outputs=frozen({"nothing": "predict"})))),
        ("MODEL_INVALID", Wish(model=tmp_path / "garbage.zip")),
        ("MODEL_INVALID", Wish(model=tmp_path / "garbage.zip", proto=EXAMPLES / "protos" / "iris.proto")),
    ):
        with pytest.raises(SwapError) as error:
            await onboard(settings, wish)
        assert error.value.code == code, error.value


async def test_the_sample_is_matched_by_name_and_what_is_odd_in_it_is_said(settings, tmp_path, h2o, pack_in):
    pack_in(h2o)
    iris = EXAMPLES / "models" / "iris_gbm.zip"
    (tmp_path / "s.csv").write_text("colour,petal_width,sepal_length\nred,0.2,5\n,,-1\n")
    content, notes = await onboard(settings, Wish(model=iris, sample=tmp_path / "s.csv", may_lack=True))
    assert content.samples == "petal_width,sepal_length\n0.2,5\n,-1\n"
    assert notes == [
        "column 'colour' of the sample is not a column of the model: left out",
        "column 'sepal_width' of the model is not in the sample",
        "column 'petal_length' of the model is not in the sample",
    ]
    (tmp_path / "s.csv").write_text("5.1,3.5,1.4,0.2\n4.9,3.0,1.4,0.2\n")
    with pytest.raises(UsageError, match="is the header line missing"):
        await onboard(settings, Wish(model=iris, sample=tmp_path / "s.csv"))
    (tmp_path / "s.csv").write_text("petal_width;sepal_width\n0.2;1\n")
    with pytest.raises(UsageError, match="is the delimiter ';'"):
        await onboard(settings, Wish(model=iris, sample=tmp_path / "s.csv"))
    (tmp_path / "s.csv").write_text("petal_width\n0.2\nNA\n")
    with pytest.raises(UsageError, match="row 2, column petal_width: 'NA' is not a number"):
        await onboard(settings, Wish(model=iris, sample=tmp_path / "s.csv", may_lack=True))


@pytest.mark.parametrize("proto", [None, EXAMPLES / "protos" / "iris.proto"], ids=["drafted", "given"])
async def test_a_sample_that_lacks_what_the_model_reads_is_refused_unless_that_is_meant(settings, tmp_path, proto):
    wish = Wish(model=EXAMPLES / "models" / "iris_gbm.zip", sample=tmp_path / "s.csv", proto=proto)
    (tmp_path / "s.csv").write_text("petal_width,sepal_length,sepal_widht\n0.2,5,3\n")
    lacking = "the file lacks columns that the model reads: sepal_width, petal_length; --allow-missing scores them as"
    with pytest.raises(UsageError, match=lacking):
        await onboard(settings, wish)
    content, notes = await onboard(settings, replace(wish, may_lack=True))
    assert content.samples.startswith("petal_width,sepal_length")
    assert notes[-2:] == [
        f"column {name!r} of the model is not in the sample" for name in ("sepal_width", "petal_length")
    ]


@pytest.mark.skipif(not ACUMOS.is_dir(), reason="../shared/models/acumos is not here")
async def test_the_ancestors_iris_is_scored_from_a_package_of_its_layout(settings, tmp_path, h2o):
    write_zip(tmp_path / "modelpackage.zip", {"iris_drf.zip": ACUMOS / "iris_drf.zip", "H2OModelService.jar": b"jar"})
    metadata = b'{"schema": "acumos.schema.model:0.4.0", "name": "iris_drf", "runtime": {"name": "h2o"}}'
    parts = {"modelpackage.zip": tmp_path / "modelpackage.zip", "metadata.json": metadata}
    write_zip(tmp_path / "modeldump.zip", {**parts, "default.proto": ACUMOS / "irisdata5.proto"})
    with open_package(tmp_path / "modeldump.zip") as package:
        operation = compile_proto(package.proto.source).operations["predict"]
        async with host_of(h2o, settings, package) as host:
            (answer,) = await host.score([(ACUMOS / "iris5.bin").read_bytes()])
    with (ACUMOS / "irisdata5.csv").open(newline="") as file:
        known = [row[-1] for row in csv.reader(file)]
    assert sum(map(str.__eq__, operation.output.FromString(answer).prediction, known)) == 148


async def test_a_jar_is_packed_by_its_configuration_and_a_sample(settings, tmp_path, java):
    (tmp_path / "iris.jar").write_bytes(jar("texts"))
    (tmp_path / "modelConfig.properties").write_text("modelClassName=iris.Model\nmodelMethod=predict\n")
    (tmp_path / "rows.csv").write_text("petal_len,sepal_len\n1.4,5\n6,7\n")
    configuration = read_configuration(tmp_path / "modelConfig.properties")
    wish = Wish(model=tmp_path / "iris.jar", sample=tmp_path / "rows.csv", configuration=configuration)
    content, _ = await onboard(settings, wish)
    with open_package(write_package(content, tmp_path / "out")[-1]) as package:
        operation = compile_proto(package.proto.source).operations["predict"]
        assert package.kind == "java"
        assert len(package.samples) == 2
        async with host_of(java, settings, package) as host:
            answers = await host.score(package.samples)
    labels = [list(operation.output.FromString(answer).prediction) for answer in answers]
    assert [len(label) for label in labels] == [1, 1]
    assert labels[0] != labels[1]
    missing = replace(configuration, runtime=frozen({**configuration.runtime, "modelMethod": "absent"}))
    with pytest.raises(SwapError, match="absent"):
        await onboard(settings, replace(wish, configuration=missing))
