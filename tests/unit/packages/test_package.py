import hashlib
import io
import json
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from hotswap.artifacts.archive import write_zip
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError, UsageError
from hotswap.generation import Configuration, Proto, frozen
from hotswap.packages.configuration import read_properties
from hotswap.packages.package import encode_samples, open_package
from hotswap.packages.packing import Content, check_target, write_package

PROTO = """syntax = "proto3";
service Model { rpc transform(DataFrame) returns (Prediction); rpc explain(DataFrame) returns (Prediction); }
message DataFrame { repeated DataFrameRow rows = 1; }
message DataFrameRow { optional double x = 1; }
message Prediction { repeated string prediction = 1; }
"""
CONFIGURATION = Configuration(columns=frozen({"X": "x"}), deadline_ms=50, runtime=frozen({"method": "score"}))
MOJO = {"model.ini": b"", "trees/t00.bin": b"\0"}


@pytest.fixture
def model(tmp_path):
    write_zip(tmp_path / "model.zip", MOJO)
    return tmp_path / "model.zip"


@pytest.fixture
def content(model):
    return Content(
        name="churn",
        version="1.4.2",
        reasons=["the contract is the same"],
        kind="abacus",
        about="a model",
        model=model,
        proto=Proto.inline(PROTO),
        schema=compile_proto(PROTO.encode()),
        configuration=CONFIGURATION,
        samples="x\n1\n2.5\n",
    )


@pytest.fixture
def dump(content, tmp_path):
    return write_package(content, tmp_path / "out")[-1]


def entries(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(**content):
    """The bytes of a zip; a name's `__` is a dot, so that file names can be keywords."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in content.items():
            file.writestr(name.replace("__", "."), data)
    return buffer.getvalue()


# ---- ours


def test_a_package_is_read_as_it_was_written(dump, model):
    with open_package(dump) as package:
        assert (package.name, package.version, package.kind) == ("churn", "1.4.2", "abacus")
        assert package.model.name == "churn.zip"
        assert package.model.read_bytes() == model.read_bytes()
        assert package.proto == Proto.inline(PROTO)
        assert package.configuration == CONFIGURATION
        message = compile_proto(PROTO.encode()).operations["transform"].input
        assert [[row.x for row in message.FromString(sample).rows] for sample in package.samples] == [[1], [2.5]]
        change = package.change()
        assert (change.model, change.kind, change.proto) == (package.model, "abacus", package.proto)
        assert (change.configuration, change.samples) == (CONFIGURATION, package.samples)
    assert not package.model.exists()


def test_the_files_are_those_of_acumos(dump):
    dumped = entries(dump)
    assert list(dumped) == ["default.proto", "metadata.json", "modelpackage.zip"]
    assert dumped == {name: (dump.parent / name).read_bytes() for name in dumped}
    assert list(entries(dump.parent / "modelpackage.zip")) == [
        "churn.zip", "hotswap.json", "modelConfig.properties", "samples.csv",
    ]  # fmt: skip
    metadata = json.loads(dumped["metadata.json"])
    assert (metadata["schema"], metadata["name"]) == ("acumos.schema.model:0.4.0", "churn")
    assert set(metadata["runtime"]) == {"name", "encoding", "version", "dependencies"}
    assert metadata["runtime"]["encoding"] == "protobuf"
    assert {name: (rpc["input"], rpc["output"]) for name, rpc in metadata["methods"].items()} == {
        "transform": ("DataFrame", "Prediction"),
        "explain": ("DataFrame", "Prediction"),
    }
    assert entries(dump.parent / "modelpackage.zip")["modelConfig.properties"] == b"modelMethod=score\n"


def test_options_with_any_text_survive_the_properties_file(content, tmp_path):
    odd = {"method.a=b": " C:\\dir\n#x", "method": "prüfe"}
    configured = replace(content, configuration=Configuration(runtime=frozen(odd)))
    write_package(configured, tmp_path / "out")
    inside = entries(tmp_path / "out" / "modelpackage.zip")
    assert read_properties(inside["modelConfig.properties"]) == {
        "method.a=b": odd["method.a=b"],
        "modelMethod": "prüfe",
    }


def test_the_same_model_is_packed_to_the_same_bytes(content, dump, tmp_path):
    again = write_package(content, tmp_path / "again")[-1]
    assert again.read_bytes() == dump.read_bytes()


def test_a_licence_beside_the_model_is_in_the_dump(content, tmp_path):
    (tmp_path / "licence.json").write_text('{"keyword": "Apache-2.0"}')
    assert entries(write_package(content, tmp_path / "out")[-1])["license.json"] == b'{"keyword": "Apache-2.0"}'


def test_a_folder_is_packed_as_a_zip(content, tmp_path):
    (tmp_path / "spark" / "metadata").mkdir(parents=True)
    (tmp_path / "spark" / "metadata" / "part-0").write_text("{}")
    made = write_package(Content(**{**fields(content), "model": tmp_path / "spark"}), tmp_path / "out")
    with open_package(made[-1]) as package:
        assert entries(package.model) == {"metadata/part-0": b"{}"}


def fields(content):
    return {name: getattr(content, name) for name in content.__slots__}


def test_a_package_is_read_however_it_is_nested(dump, tmp_path):
    inner = dump.parent / "modelpackage.zip"
    with open_package(inner) as package:
        assert (package.name, package.proto, package.samples) == ("churn", None, ())
    (tmp_path / "mail.zip").write_bytes(zipped(**{"sent/modeldump__zip": dump.read_bytes(), "sent/note__txt": b""}))
    with open_package(tmp_path / "mail.zip") as package:
        assert (package.name, package.proto) == ("churn", Proto.inline(PROTO))


def test_a_failed_write_leaves_no_file_behind(content, tmp_path):
    with pytest.raises(UsageError, match=r"absent.zip does not exist"):
        write_package(Content(**{**fields(content), "model": tmp_path / "absent.zip"}), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file cannot be written"):
        write_package(content, tmp_path / "file")


def test_existing_files_are_replaced_only_on_request(content, dump):
    with pytest.raises(UsageError, match=r"has default.proto, metadata.json, .* already: .*--force"):
        check_target(dump.parent, is_replacing=False)
    check_target(dump.parent, is_replacing=True)
    check_target(dump.parent.parent, is_replacing=False)
    assert write_package(content, dump.parent)[-1] == dump


def test_no_more_samples_are_read_than_fit_into_a_command():
    schema = compile_proto(PROTO.replace("optional double x", "string x").encode())
    text = io.StringIO("x\n" + ("y" * 1_000 + "\n") * 300)
    assert len(encode_samples(text, schema, "s")) == (256 << 10) // 1_006


# ---- untrusted


def repacked(dump, tmp_path, **changes):
    """The dump with other files in its modelpackage.zip; None removes a file."""
    inner = {**entries(dump.parent / "modelpackage.zip"), **{n.replace("__", "."): d for n, d in changes.items()}}
    outer = {**entries(dump), "modelpackage.zip": zipped(**{n: d for n, d in inner.items() if d is not None})}
    (tmp_path / "changed.zip").write_bytes(zipped(**outer))
    return tmp_path / "changed.zip"


def manifest(dump, **changes):
    document = json.loads(entries(dump.parent / "modelpackage.zip")["hotswap.json"]) | changes
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def refused(path, **options):
    with pytest.raises(SwapError) as error, open_package(path, **options):
        pass
    assert list(Path(tempfile.gettempdir()).glob("hotswap-package-*")) == []
    return error.value.code, error.value.message


def test_what_was_changed_after_it_was_packed_is_refused(dump, tmp_path):
    for changed in ({"churn__zip": b"another"}, {"samples__csv": b"x\n9\n"}):
        code, message = refused(repacked(dump, tmp_path, **changed))
        assert code == "DIGEST_MISMATCH"
        assert next(iter(changed)).replace("__", ".") in message
    (tmp_path / "proto.zip").write_bytes(zipped(**{**entries(dump), "default.proto": PROTO.encode() + b"//"}))
    assert refused(tmp_path / "proto.zip")[0] == "DIGEST_MISMATCH"
    assert refused(repacked(dump, tmp_path, churn__zip=None)) == (
        "ARTIFACT_INVALID",
        f"package {tmp_path / 'changed.zip'}: churn.zip is missing",
    )


def test_an_invalid_manifest_is_refused_with_the_field(dump, tmp_path):
    outside = tmp_path / "outside.zip"
    outside.write_bytes(b"secret")
    sha256 = hashlib.sha256(b"secret").hexdigest()
    for changed, reason in (
        (b"{", "is invalid"),
        (b"[]", "is invalid"),
        (manifest(dump, kind=None), "kind: Field required"),
        (manifest(dump, name=7), "name: Input should be a valid string"),
        (manifest(dump, more="1"), "more: Extra inputs are not permitted"),
        (manifest(dump, format="hotswap.package:2"), "format: Input should be 'hotswap.package:1'"),
        (manifest(dump, model="samples.txt"), "names files without giving their digests"),
        (manifest(dump, model="../outside.zip", sha256={"../outside.zip": sha256}), "../outside.zip is missing"),
        (manifest(dump, model=str(outside), sha256={str(outside): sha256}), "outside.zip is missing"),
    ):
        code, message = refused(repacked(dump, tmp_path, hotswap__json=changed))
        assert (code, reason in message) == ("ARTIFACT_INVALID", True), message
    with (
        pytest.raises(
            UsageError, match=r"configuration of package .*: deadline is no|deadline; it must be a JSON object"
        ),
        open_package(repacked(dump, tmp_path, hotswap__json=manifest(dump, configuration={"deadline": 1}))),
    ):
        pass


def test_hostile_zips_are_refused_and_leave_nothing(dump, tmp_path):
    link = zipfile.ZipInfo("churn.zip")
    link.external_attr = 0o120777 << 16
    for name, content in (
        ("leaves.zip", {"../evil.txt": b""}),
        ("absolute.zip", {"/etc/evil": b""}),
        ("inner.zip", {"modelpackage.zip": zipped(**{"../../evil.txt": b""})}),
        ("broken_inner.zip", {"modelpackage.zip": b"PK no zip"}),
    ):
        (tmp_path / name).write_bytes(zipped(**content))
        assert refused(tmp_path / name)[0] == "ARTIFACT_INVALID", name
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
    assert "which is a link" in refused(tmp_path / "link.zip")[1]
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("modelpackage.zip", b"\0" * 5_000_000)
    assert "unpacks to more than" in refused(tmp_path / "bomb.zip", max_bytes=1_000_000)[1]
    (tmp_path / "text.zip").write_bytes(b"no zip")
    assert refused(tmp_path / "text.zip")[0] == "ARTIFACT_INVALID"


def test_endlessly_nested_packages_are_not_followed(dump, tmp_path):
    content = dump.read_bytes()
    for _ in range(5):
        content = zipped(modeldump__zip=content)
    (tmp_path / "deep.zip").write_bytes(content)
    with (
        pytest.raises(UsageError, match="does not tell which of its files is the model"),
        open_package(tmp_path / "deep.zip"),
    ):
        pass


def test_a_missing_package_is_reported(tmp_path):
    with pytest.raises(UsageError, match=r"absent.zip does not exist"), open_package(tmp_path / "absent.zip"):
        pass


# ---- Acumos's own


def metadata(name, runtime):
    return json.dumps({"schema": "acumos.schema.model:0.4.0", "name": name, "runtime": {"name": runtime}}).encode()


def jar(*classes):
    return zipped(**{"META-INF/MANIFEST__MF": b"", **{f"{name}__class": b"" for name in classes}})


def acumos(tmp_path, package, **beside):
    """A modeldump.zip as Acumos's clients wrote it."""
    (tmp_path / "acumos.zip").write_bytes(zipped(modelpackage__zip=zipped(**package), **beside))
    return tmp_path / "acumos.zip"


RUNNER = {"H2OModelService__jar": jar("BOOT-INF/classes/Runner"), "application__properties": b"server.port=3330\n"}
CONFIG = b"modelClassName=org.example.Iris\nmodelMethod=classify\n"


def test_an_h2o_package_of_acumos_is_read(tmp_path):
    package = {"iris_drf__zip": zipped(model__ini=b""), **RUNNER}
    beside = {"metadata__json": metadata("iris_drf", "h2o"), "default__proto": PROTO}
    with open_package(acumos(tmp_path, package, **beside)) as found:
        assert (found.name, found.kind, found.model.name) == ("iris_drf", "h2o", "iris_drf.zip")
        assert (found.proto, found.version, found.samples) == (Proto.inline(PROTO), None, ())
        assert found.configuration == Configuration()


@pytest.mark.parametrize("named", ["by_metadata", "by_class", "by_runner", "alone"])
def test_the_model_of_a_java_package_is_distinguished_from_the_runner(tmp_path, named):
    runner = {"GenericModelService__jar": jar("BOOT-INF/classes/Runner"), "application__properties": b""}
    package = {"iris__jar": jar("org/example/Iris" if named == "by_class" else "Main"), **runner}
    if named in ("by_class", "by_metadata"):  # and the runner has an unknown name
        package["service__jar"] = package.pop("GenericModelService__jar")
    if named == "alone":
        del package["GenericModelService__jar"]
    beside = {"metadata__json": metadata("iris" if named == "by_metadata" else "other", "javageneric")}
    package["modelConfig__properties"] = CONFIG
    with open_package(acumos(tmp_path, package, **beside)) as found:
        assert (found.kind, found.model.name, found.proto) == ("java", "iris.jar", None)
        assert found.configuration.runtime == {"modelClassName": "org.example.Iris", "modelMethod": "classify"}


def test_a_jar_for_spark_is_of_kind_spark_jar(tmp_path):
    package = {"job__jar": jar("org/example/Iris"), "SparkModelService__jar": jar(), "modelConfig__properties": CONFIG}
    with open_package(acumos(tmp_path, package, metadata__json=metadata("x", "javaspark"))) as found:
        assert (found.kind, found.model.name) == ("spark-jar", "job.jar")


def test_a_package_without_metadata_tells_its_kind_by_its_files(tmp_path):
    for broken in (b"{", b"[]", b'{"runtime": "h2o"}', None):
        beside = {} if broken is None else {"metadata__json": broken}
        with open_package(acumos(tmp_path, {"m__zip": zipped(model__ini=b""), **RUNNER}, **beside)) as found:
            assert (found.name, found.kind, found.model.name) == ("m", "h2o", "m.zip")
    (tmp_path / "modelpackage.zip").write_bytes(zipped(m__jar=jar("A"), modelConfig__properties=CONFIG))
    with open_package(tmp_path / "modelpackage.zip") as found:
        assert (found.name, found.kind) == ("m", "java")


def test_a_package_with_two_models_or_none_lists_its_files(tmp_path):
    for package in ({"a__jar": jar(), "b__jar": jar()}, {"readme__txt": b""}):
        path = acumos(tmp_path, package, metadata__json=metadata("c", "javageneric"))
        with pytest.raises(UsageError, match=r"which of its files is the model \(.*--model"), open_package(path):
            pass
