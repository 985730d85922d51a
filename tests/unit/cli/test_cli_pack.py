import csv
import json
import sys

import pytest
from click.testing import CliRunner

from fakes.kafka_logs import FakeCluster, FakeWorker
from hotswap.artifacts.archive import write_zip
from hotswap.cli.main import main
from hotswap.codec.proto import compile as compile_proto
from hotswap.commands import decode_command
from hotswap.packages.package import open_package
from hotswap.settings import Settings

CSV = """Größe,plan,age,since.day,active
1,basic,41,-3,true
2.5,,38,7,false
"""
FIELDS = """message DataFrameRow {
  double Gr__e = 1;
  optional string plan = 2;
  int64 age = 3;
  int64 since_day = 4;
  bool active = 5;
}"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOTSWAP_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HOTSWAP_CACHE", str(tmp_path / "cache"))
    write_zip(tmp_path / "churn.zip", {"beads.ini": b""})
    (tmp_path / "rows.csv").write_text(CSV)
    (tmp_path / "c.json").write_text('{"deadline_ms": 50, "runtime": {"method": "score"}}')
    (tmp_path / "own.proto").write_text(
        'syntax = "proto3"; service S { rpc P(R) returns (R); } message R { int64 age = 1; double x = 2; }'
    )
    return tmp_path


def hotswap(*words, code=0):
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def pack(*words, code=0):
    """A model of a kind that has no runtime here: only the sample describes its inputs."""
    return hotswap("pack", "churn.zip", "--kind", "abacus", *words, code=code)


def complaint(result):
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("words", [("--python", "own.proto"), ("--trust-types", "a.B"), ("--trust-pickle",)])
def test_an_option_of_scikit_learn_is_refused_for_other_models(files, words):
    said = complaint(pack("--sample", "rows.csv", *words, code=2))
    assert f"{words[0]} is for models of scikit-learn, which churn.zip is not" in said
    assert not (files / "churn").exists()


def test_a_draft_that_v2_cannot_use_says_so_and_flat_makes_one_that_it_can(files):
    assert "cannot use this proto, which has repeated fields: --flat drafts one" in pack("--sample", "rows.csv").stderr
    result = pack("--sample", "rows.csv", "--flat", "--out", "flat")
    assert "/v2" not in result.stderr
    assert "transform(DataFrameRow)" in (files / "flat" / "default.proto").read_text()
    assert "leave one of them out" in complaint(pack("--flat", "--proto", "own.proto", code=2))


def test_a_sample_makes_the_proto_of_a_model_without_type_information(files):
    result = pack("--sample", "rows.csv", "--config", "c.json")
    assert result.stdout.splitlines() == [
        "churn 1.0.0 (abacus): it is the first version",
        *(f"churn/{name}" for name in ("default.proto", "metadata.json", "modelpackage.zip", "modeldump.zip")),
    ]
    assert "column 'Größe' is called Gr__e in the proto" in result.stderr
    assert "not checked: no runtime for kind abacus is installed here" in result.stderr
    text = (files / "churn" / "default.proto").read_text()
    assert FIELDS in text
    assert "service Churn {\n  rpc score(DataFrame) returns (Prediction);\n}" in text
    row = compile_proto(text.encode()).operations["score"].input
    with open_package(files / "churn" / "modeldump.zip") as package:
        first, second = (row.FromString(sample).rows[0] for sample in package.samples)
        assert (first.Gr__e, first.plan, first.age, first.since_day, first.active) == (1, "basic", 41, -3, True)
        assert (second.Gr__e, second.HasField("plan")) == (2.5, False)
        assert package.configuration.deadline_ms == 50


def test_nothing_is_uploaded_and_nothing_is_written_beside_the_package(files):
    before = {path.name for path in files.iterdir()}
    pack("--sample", "rows.csv", "--out", "there/deep")
    assert {path.name for path in files.iterdir()} - before == {"there", "cache"}
    assert len(list((files / "there" / "deep").iterdir())) == 4


def test_a_model_without_type_information_or_a_sample_says_what_to_pass(files):
    line = complaint(pack(code=2))
    assert "churn.zip (kind abacus) does not describe its inputs" in line
    assert "--sample data.csv" in line
    assert "--proto" in line
    assert not (files / "churn").exists()


def test_a_model_of_unknown_kind_says_what_was_looked_for(files):
    line = complaint(hotswap("pack", "churn.zip", "--sample", "rows.csv", code=2))
    assert "model.ini" in line
    assert "--kind" in line


def test_a_model_of_mlflows_registry_without_its_client_names_the_extra(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    line = hotswap("pack", "models:/churn@champion", code=2).output
    assert "models:/churn@champion is asked of MLflow" in line
    assert "install hotswap[mlflow]" in line


def test_an_existing_package_is_replaced_with_force_only(files):
    pack("--sample", "rows.csv")
    assert "churn has default.proto" in complaint(pack("--sample", "rows.csv", code=2))
    pack("--sample", "rows.csv", "--force")


def test_a_given_proto_is_packed_unchanged_and_the_sample_must_fit_it(files):
    pack("--proto", "own.proto", "--sample", "rows.csv", "--name", "mine")
    assert (files / "mine" / "default.proto").read_bytes() == (files / "own.proto").read_bytes()
    metadata = json.loads((files / "mine" / "metadata.json").read_text())
    assert metadata["methods"]["P"]["input"] == "R"
    with open_package(files / "mine" / "modeldump.zip") as package:
        assert len(package.samples) == 2
    (files / "rows.csv").write_text("age\nold\n")
    result = pack("--proto", "own.proto", "--sample", "rows.csv", "--out", "other", code=2)
    assert "sample rows.csv: row 1, column age: 'old' is not a whole number" in complaint(result)
    assert not (files / "other").exists()


def test_a_proto_that_imports_others_is_packed_whole(files):
    (files / "row.proto").write_text('syntax = "proto3"; message Row { double x = 1; }')
    (files / "model.proto").write_text(
        'syntax = "proto3";\nimport "row.proto";\nservice S { rpc P(Row) returns (Row); }'
    )
    pack("--proto", "model.proto")
    with open_package(files / "churn" / "modeldump.zip") as package:
        assert package.proto.is_descriptor_set
        assert list(compile_proto(package.proto.source, True).operations) == ["P"]


def test_the_version_follows_from_the_previous_one(files):
    pack("--sample", "rows.csv")
    previous = "churn/modeldump.zip"
    document = json.loads(pack("--sample", "rows.csv", "--previous", previous, "--out", "same", "--json").stdout)
    assert (document["version"], document["reasons"]) == ("1.0.1", ["the contract is the same"])
    assert document["files"][-1] == "same/modeldump.zip"
    (files / "more.csv").write_text("Größe,plan,age,since.day,active,late\n1.5,basic,1,1,true,\n1,,1,1,true,2\n")
    document = json.loads(
        pack("--sample", "more.csv", "--previous", "same/modeldump.zip", "--out", "m", "--json").stdout
    )
    assert (document["version"], document["reasons"]) == ("1.1.0", ["field DataFrameRow.late = 6 is new"])
    words = ("--proto", "own.proto", "--previous", "churn/default.proto", "--out", "new", "--json")
    document = json.loads(pack(*words, "--previous-version", "7.1.0").stdout)
    assert (document["version"], document["reasons"]) == ("8.0.0", ["operation transform is gone"])
    with open_package(files / "new" / "modeldump.zip") as package:
        assert package.version == "8.0.0"


def test_what_means_missing_is_packed_and_read_so_in_the_sample(files, cluster):
    (files / "rows.csv").write_text("age,plan\nNA,basic\n41,-\n")
    (files / "c.json").write_text('{"text": {"missing": ["-"], "delimiter": ","}}')
    pack("--sample", "rows.csv", "--config", "c.json", "--missing", "NA", "--missing", "")
    assert "optional int64 age = 1;\n  optional string plan = 2;" in (files / "churn" / "default.proto").read_text()
    with open_package(files / "churn" / "modeldump.zip") as package:
        assert package.configuration.text.missing == {"", "-", "NA"}
        assert len(package.samples) == 2
    FakeWorker(cluster, Settings(deployment="d"), "w1").speak(kinds={"abacus": "", "h2o": ""})
    hotswap("swap", "d", "--package", "churn/modeldump.zip", "--samples", "rows.csv")
    assert last_command(cluster).configuration.text.missing == {"", "-", "NA"}
    assert len(last_command(cluster).samples) == 2


def test_a_sample_that_may_spell_missing_in_its_own_way_says_what_to_add(files):
    (files / "na.csv").write_text("age,x\n3,NA\n")
    line = complaint(pack("--proto", "own.proto", "--sample", "na.csv", code=2))
    assert "'NA' is not a number (if 'NA' means that a value is missing, add --missing NA)" in line


def test_an_unknown_version_says_what_to_add(files):
    pack("--sample", "rows.csv")
    for words, reason in (
        (("--previous", "churn/default.proto"), "add --previous-version 1.2.3"),
        (("--previous", "churn/modelpackage.zip"), "has no proto: pass its modeldump.zip"),
        (("--previous", "churn/default.proto", "--previous-version", "2"), "write it as 1.2.3"),
        (("--previous-version", "1.0.0"), "--previous-version needs --previous"),
    ):
        assert reason in complaint(pack("--proto", "own.proto", "--out", "x", *words, code=2)), words


def test_invalid_names_are_usage_errors(files):
    assert "the name of a model consists of letters" in complaint(pack("--name", "a b", "--sample", "rows.csv", code=2))
    (files / "c.json").write_text('{"runtime": {"method": "score it"}}')
    assert "'score it' is not a valid rpc name" in pack("--sample", "rows.csv", "--config", "c.json", code=2).stderr


# ---- swap and score from a package


@pytest.fixture
def cluster(monkeypatch, files):
    return FakeCluster().create(Settings(deployment="d")).install(monkeypatch)


def last_command(cluster):
    ((*_, record),) = cluster.topics[Settings(deployment="d").topics.control]
    return decode_command(record.value)[1]


def test_a_package_is_swapped_in_with_all_its_parts(cluster, files):
    FakeWorker(cluster, Settings(deployment="d"), "w1").speak(kinds={"abacus": "", "h2o": ""})
    pack("--sample", "rows.csv", "--config", "c.json")
    hotswap("swap", "d", "--package", "churn/modeldump.zip")
    command = last_command(cluster)
    assert (command.model.kind, command.model.uri.rpartition("/")[2]) == ("abacus", "churn.zip")
    assert command.proto.source == (files / "churn" / "default.proto").read_bytes()
    assert command.configuration.deadline_ms == 50
    assert command.configuration.columns == {}
    assert len(command.samples) == 2
    stored = files / "store" / command.model.sha256 / "churn.zip"
    assert stored.read_bytes() == (files / "churn.zip").read_bytes()


def test_options_override_the_parts_of_a_package(cluster, files):
    FakeWorker(cluster, Settings(deployment="d"), "w1").speak(kinds={"abacus": "", "h2o": ""})
    pack("--sample", "rows.csv")
    write_zip(files / "mojo.zip", {"model.ini": b""})
    words = ("--model", "mojo.zip", "--proto", "own.proto", "--config", "c.json")
    hotswap("swap", "d", "--package", "churn/modeldump.zip", *words)
    command = last_command(cluster)
    assert (command.model.kind, command.model.uri.rpartition("/")[2]) == ("h2o", "mojo.zip")
    assert command.proto.source == (files / "own.proto").read_bytes()
    assert (command.configuration.deadline_ms, command.samples) == (50, ())
    with (files / "ages.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["age", "x"], ["3", "0"]])
    hotswap("swap", "d", "--package", "churn/modeldump.zip", "--proto", "own.proto", "--samples", "ages.csv")
    assert (last_command(cluster).model.kind, last_command(cluster).samples) == ("abacus", (b"\x08\x03",))


def test_golden_answers_need_a_sample_and_the_runtime_of_the_model(files):
    assert "pass it with --sample" in complaint(pack("--golden", "5", code=2))
    *_, last = pack("--golden", "5", "--sample", "rows.csv", code=2).stderr.splitlines()
    assert last == (
        "hotswap: there are no answers to be golden: --golden needs a --sample, and the model's runtime here"
    )
    assert not (files / "churn").exists()


def test_an_unreadable_package_publishes_nothing(cluster, files):
    (files / "broken.zip").write_bytes(b"PK")
    assert "ARTIFACT_INVALID: package broken.zip" in complaint(hotswap("swap", "d", "--package", "broken.zip", code=1))
    assert cluster.topics[Settings(deployment="d").topics.control] == [[]]


def test_score_says_that_it_needs_a_model_and_a_proto(files):
    pack("--sample", "rows.csv")
    for words in ((), ("--package", "churn/modelpackage.zip"), ("--proto", "own.proto")):
        assert "a model and a proto are needed" in complaint(hotswap("score", "rows.csv", *words, code=2))
