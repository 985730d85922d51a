"""A pipeline of Spark's own classes runs SQL and calls any static method: what these can do stays in its host."""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.examples import COLD
from harness.spark_lab import load_of, proto_of
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration
from hotswap.host.parent import ModelHost
from hotswap.host.sandbox import Sandbox

pytestmark = [pytest.mark.spark, pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")]

ROW = {"x": 1.0}
PROTO = proto_of([ROW], [{"told": ""}])
OPTIONS = {"schema": "x DOUBLE", "fallback": "dataframe"}
SECRET = "open sesame"


@pytest.fixture
def there():
    """A folder that no host may reach, not even one of a test, with a secret in it."""
    with tempfile.TemporaryDirectory(prefix="hotswap-harm-", dir="/var/tmp") as folder:
        (Path(folder) / "secret").write_text(SECRET)
        yield Path(folder)


def calls(there):
    """A static method of Spark's that makes a folder: there are thousands."""
    method = f"'org.apache.spark.util.Utils', 'createDirectory', '{there}', 'by_a_call'"
    return f"SELECT *, reflect({method}) AS told FROM __THIS__"


def reads(there):
    return f"SELECT given.*, value AS told FROM __THIS__ given CROSS JOIN text.`file:{there}/secret`"


def writes(there):
    return f"INSERT OVERWRITE DIRECTORY 'file:{there}/by_sql' USING text SELECT 'x' FROM __THIS__"


def saved(folder, *statements):
    """Write a pipeline of SQLTransformers as Spark saves it."""
    stages = {f"SQLTransformer_{number}": statement for number, statement in enumerate(statements)}
    write(folder, "PipelineModel", "PipelineModel_0", {"stageUids": list(stages)})
    for number, (name, statement) in enumerate(stages.items()):
        write(folder / "stages" / f"{number}_{name}", "feature.SQLTransformer", name, {"statement": statement})
    return folder


def write(folder, kind, uid, given):
    facts = {"class": f"org.apache.spark.ml.{kind}", "timestamp": 0, "sparkVersion": "4.3.0", "uid": uid}
    (folder / "metadata").mkdir(parents=True)
    (folder / "metadata" / "part-00000").write_text(json.dumps({**facts, "paramMap": given, "defaultParamMap": {}}))


async def test_without_the_sandbox_a_file_is_read_and_a_method_called(there, tmp_path):
    folder = saved(tmp_path / "model", calls(there).replace("told", "made"), reads(there))
    load = replace(load_of(folder, PROTO, Configuration(runtime=OPTIONS)), sandbox=Sandbox(mode="off"))
    host = ModelHost(load=load, deadline_s=60, on_restart=pytest.fail, on_unknown=pytest.fail, child=COLD)
    (operation,) = compile_proto(PROTO).operations.values()
    try:
        await host.start()
        (answer,) = await host.score([operation.input(**ROW).SerializeToString()])
    finally:
        await host.stop()

    assert operation.output.FromString(answer).told == SECRET
    assert {path.name.partition("-")[0] for path in there.iterdir()} == {"secret", "by_a_call"}


@pytest.mark.parametrize(
    ("attempt", "error"), [(calls, "Failed to create"), (reads, "Permission denied"), (writes, "Mkdirs failed")]
)
def test_in_the_sandbox_none_succeeds(lab, there, tmp_path, attempt, error):
    told = lab.outcome(saved(tmp_path / "model", attempt(there)), PROTO, [ROW], runtime=OPTIONS)

    _, why = told.error or told.answers[0]
    assert error in why
    assert [path.name for path in there.iterdir()] == ["secret"]
