"""A jar as a model: class paths, jars that do harm, and the command line."""

import subprocess
import sys

import pytest

from fakes.jar_hosts import ANN, CREDIT, HOSTILE, IRIS, hosting, load, refusal_of, serving
from fakes.jars import HAS_JDK, NAMES, OWN, compiled, jar, jdk, packed, prebuilt, unpacked
from fakes.processes import is_running
from hotswap.batch import Code, Refusal


def split(name, part):
    """Split a jar in two: the files with `part` in their names, and the rest."""
    files = unpacked(jar(name))
    library = {path: content for path, content in files.items() if part in path}
    return packed(library), packed({path: content for path, content in files.items() if path not in library})


async def test_a_zip_or_a_folder_of_jars_is_one_class_path(put, tmp_path, java):
    library, model = split("customers", "Point")
    bundle = put(packed({"lib/deep/geo.jar": library, "scorer.jar": model, "readme.txt": b"read me"}))
    (tmp_path / "folder" / "lib").mkdir(parents=True)
    for path, content in unpacked(model).items():
        target = tmp_path / "folder" / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(content)
    (tmp_path / "folder" / "lib" / "geo.jar").write_bytes(library)
    for path in (bundle, tmp_path / "folder"):
        async with serving(java, load(path, CREDIT, {"score": "Customer Decision"})) as served:
            assert "Point[x=1.0, y=2]" in (await served.ask("score", ANN)).text
    refused = await refusal_of(java, load(put(packed({"scorer.jar": model})), CREDIT, {"score": "Customer Decision"}))

    assert (refused.code, "credit/Point" in refused.message) == ("MODEL_INVALID", True)


def test_the_class_is_found_by_the_manifest_or_by_its_method_and_the_host_says_so(put, java):
    found = {}
    for name, messages, rpcs in (
        ("customers", CREDIT, {"score": "Customer Decision"}),
        ("texts", IRIS, {"Predict": "Rows Labels"}),
    ):
        found[name] = java.load(load(put(name), messages, rpcs)).columns

    assert found == {
        "customers": "Java score: credit.Scorer.score(Customer) -> Decision (the manifest's Main-Class)",
        "texts": "Java Predict: iris.Model.predict(String) -> List<String> (the only public class with `predict`)",
    }


HARMS = {
    "exit": (Code.HOST_CRASHED, "exit code 7"),
    "halt": (Code.HOST_CRASHED, "exit code 0"),
    "hangs in a shutdown hook": (Code.HOST_TOO_SLOW, "3000 ms"),
    "loop": (Code.HOST_TOO_SLOW, "3000 ms"),
    "stdout": (Code.HOST_TOO_SLOW, "3000 ms"),  # a gigabyte, of which one MiB is read in a second
    "heap": (Code.HOST_CRASHED, "out of memory (the Java heap)"),
    "native": (Code.HOST_CRASHED, "out of memory"),
}


@pytest.fixture
async def hostile(put):
    restarts = []
    given = load(put("hostile"), HOSTILE, {"act": "What Said"}, {"class": "hostile.Hostile"})
    async with hosting(given, restarts, deadline_s=3.0) as served:
        served.restarts = restarts
        yield served


async def test_requests_that_kill_the_host_of_a_jar_are_refused_and_the_rest_is_scored(hostile):
    message, said = hostile.operations["act"].input, hostile.operations["act"].output
    asked = [what for number, harm in enumerate(HARMS) for what in (harm, f"good {number}")]

    answers = await hostile.host.score([message(what=what).SerializeToString() for what in asked])

    for what, answer in zip(asked, answers, strict=True):
        if what not in HARMS:
            assert said.FromString(answer).said == what
            continue
        code, told = HARMS[what]
        assert (answer.code, told in answer.message) == (code, True), (what, answer)
    crashes = [code for code, _ in list(HARMS.values())[1:] if code == "HOST_CRASHED"]
    assert len(hostile.restarts) == len(HARMS) + 1 + len(crashes), "those are scored again, as the first in their host"


async def test_a_jar_that_recurses_raises_reads_writes_or_starts_threads_harms_nobody(hostile):
    hostile.host._exchange._deadline_s = 30.0
    told = {}
    for what in ("recursion", "raise", "raise what cannot be told", "missing class", "stdin", "threads"):
        answer = await hostile.ask("act", {"what": what})
        told[what] = answer.message if isinstance(answer, Refusal) else answer.said
    pid = hostile.host.pid

    assert told["recursion"].startswith("the model raised java.lang.StackOverflowError, at hostile.Hostile.act(")
    assert "IllegalStateException: as it was asked to" in told["raise"]
    assert told["raise what cannot be told"].startswith("the model raised hostile.Hostile$1, at hostile.Hostile.act(")
    assert "NoClassDefFoundError: missing/Library" in told["missing class"]
    assert [told[what] for what in ("stdin", "threads")] == ["read -1", "threads"]
    assert hostile.restarts == []
    await hostile.host.stop()
    assert not is_running(pid)


async def test_each_request_sees_the_jars_class_loader_whatever_the_previous_one_did(hostile):
    answers = [(await hostile.ask("act", {"what": what})).said for what in ("which loader", "loader", "which loader")]

    assert answers == ["mine", "changed", "mine"]


def test_a_csv_is_scored_on_the_command_line_by_a_jar_with_its_acumos_configuration(put, tmp_path):
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
@pytest.mark.parametrize("name", [*NAMES, *OWN])
def test_the_prebuilt_jars_match_their_sources(name):
    now, then = unpacked(compiled(name)), unpacked(prebuilt(name).read_bytes())

    assert now.keys() == then.keys()
    if jdk() == 17:  # another compiler may write different bytes
        assert now == then
