"""Before a command is written: a kind that a live worker cannot load is refused, by the worker's own reason."""

import pytest

from fakes.client import MODEL, commands, first_swap, proto
from fakes.kafka_logs import FakeWorker
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.client.fleet import Fleet
from hotswap.client.loadable import check_contract, check_kind
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.generation import Configuration, Model
from hotswap.host.jvm_spec import make_ground
from hotswap.runtimes import kinds
from hotswap.runtimes.kinds import Runtime, lacks, runtime_of
from hotswap.swap.command import RollbackCommand
from hotswap.v1 import control_pb2 as wire

ONNX = Model("file:///m.onnx", "b" * 64, "onnx")
LACKS = "onnxruntime is not installed here: install hotswap[onnx] on every worker"
ALL = {"h2o": "", "java": "", "onnx": ""}
NOW = 1_790_000_000.0


def worker(name, reported=(), age_s=0.0, **more):
    status = wire.WorkerStatus(deployment="d", worker=name, kinds=dict(reported), **more)
    status.at.FromNanoseconds(int((NOW - age_s) * 1e9))
    return Fleet("d").receive(wire.Status(worker=status).SerializeToString())


def refusal(kind, *workers):
    with pytest.raises(SwapError) as refused:
        check_kind(kind, workers, NOW)
    assert refused.value.code is SwapCode.KIND_MISSING
    return refused.value.message


@pytest.mark.parametrize("kind", ["h2o", "java", "spark", "spark-jar"])
def test_a_kind_that_was_there_before_workers_reported_theirs_is_not_refused_for_an_older_version(kind):
    check_kind(kind, [worker("w1")], NOW)


@pytest.mark.parametrize("kind", ["onnx", "xgboost", "lightgbm"])
def test_a_worker_of_a_version_that_reports_no_kinds_is_named_for_a_newer_kind(kind):
    why = f"there is no runtime `{kind}` in this version, but h2o, java, spark, spark-jar: correct the kind, or upgrade"
    assert f"models of kind {kind}: w1 ({why})." in refusal(kind, worker("w1"))


def test_a_worker_that_does_not_know_a_kind_is_named_with_those_that_it_knows():
    assert "w2 (there is no runtime `onx` in this version, but h2o, java, onnx:" in refusal("onx", worker("w2", ALL))


def test_workers_that_cannot_load_a_kind_are_named_with_their_own_reasons():
    lacking = ALL | {"onnx": LACKS}
    workers = [worker("w1", ALL), worker("w3", lacking), worker("w2", lacking), worker("w4")]
    assert refusal("onnx", *workers) == (
        f"nothing was written, since live workers cannot load models of kind onnx: w2, w3 ({LACKS}); w4 (there is no "
        "runtime `onnx` in this version, but h2o, java, spark, spark-jar: correct the kind, or upgrade). One that "
        "stops does not count"
    )
    check_kind("h2o", workers, NOW)


def test_of_many_workers_five_are_named_and_the_others_counted():
    workers = [worker(f"w{number}", ALL | {"onnx": LACKS}) for number in range(1, 8)]
    assert f"w1, w2, w3, w4, w5 and 2 more ({LACKS})" in refusal("onnx", *workers)


def test_a_worker_that_has_stopped_or_is_dead_does_not_count():
    lacking = ALL | {"onnx": LACKS}
    check_kind("onnx", [worker("w1", lacking, stopped=True), worker("w2", lacking, age_s=9.1)], NOW)


def test_live_workers_of_an_older_contract_are_named_for_what_they_do_not_know():
    older = [worker("w2", contract=1), worker("w1"), worker("w3", stopped=True), worker("w4", age_s=9.1)]
    with pytest.raises(UsageError, match=r"nothing was written, since .* do not know golden answers: w1, w2\. Upgrade"):
        check_contract(2, "golden answers", [worker("w5", contract=2), *older], NOW)
    check_contract(2, "golden answers", [worker("w5", contract=2), *older[2:]], NOW)


# ---- the client


@pytest.fixture
def lacking(cluster, settings):
    """A worker without the extra."""
    made = FakeWorker(cluster, settings)
    made.speak(kinds=ALL | {"onnx": LACKS})
    return made


async def test_a_swap_to_a_kind_that_a_live_worker_lacks_is_refused_and_writes_nothing(cluster, settings, lacking):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(SwapError, match=r"nothing was written.* w1 \(onnxruntime is not installed") as refused:
            await client.swap(Change(model=ONNX))
        assert refused.value.code == "KIND_MISSING"
        assert [command.model for command in commands(cluster, settings)] == [MODEL]
        lacking.speak(kinds=ALL)
        assert (await client.swap(Change(model=ONNX))).generation == 2


async def test_a_swap_that_inherits_such_a_model_and_a_rollback_to_one_are_refused_too(cluster, settings, lacking):
    async with Client(settings) as client:
        lacking.speak(kinds=ALL, generation=1)
        await client.swap(Change(model=ONNX, proto=proto()))
        await client.swap(Change(model=MODEL))
        lacking.speak(kinds=ALL | {"onnx": LACKS}, generation=2)
        for attempt in (client.swap(Change(proto=proto(), base=1)), client.rollback(1)):
            with pytest.raises(SwapError, match="w1") as refused:
                await attempt
            assert refused.value.code == "KIND_MISSING"
        assert len(commands(cluster, settings)) == 2
        lacking.speak(kinds=ALL, generation=2)
        await client.rollback(1)
    assert isinstance(commands(cluster, settings)[-1], RollbackCommand)


# ---- the workers' verdict


def test_a_worker_reports_what_it_cannot_load_in_the_words_of_its_verdict(monkeypatch):
    absent = {"onnxruntime", "onnx", "pyspark"}
    monkeypatch.setattr(kinds.importlib.util, "find_spec", lambda name: None if name in absent else name)
    spark = "pyspark is not installed here: install hotswap[spark] on every worker"
    reported = {kind: why for kind, why in lacks(kinds.kinds()).items() if why}
    both = "onnxruntime, onnx are not installed here: install hotswap[onnx] on every worker"
    assert {kind: reported[kind] for kind in ("onnx", "spark", "spark-jar")} == {
        "onnx": both,
        "spark": spark,
        "spark-jar": spark,
    }
    assert {"h2o", "java"}.isdisjoint(reported)
    absent.discard("onnx")
    assert runtime_of("onnx").lack == LACKS
    with pytest.raises(SwapError) as refused:
        make_ground("onnx", 256)
    assert (refused.value.code, refused.value.message) == ("KIND_MISSING", LACKS)


def test_a_package_that_is_there_and_cannot_be_imported_is_a_missing_kind_too(monkeypatch, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_library")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        SwapError, match=r"\(No module named 'no_such_library'\): install hotswap\[x\] again"
    ) as refused:
        Runtime(module="broken", jars=list, extra="x").load(tmp_path, Configuration())
    assert refused.value.code == "KIND_MISSING"


def test_a_worker_reports_kinds_that_its_settings_do_not_name_with_advice():
    reported = lacks({"h2o", "python"})
    assert (reported["h2o"], reported["python"]) == ("", "")
    assert reported["python-pickle"].startswith("HOTSWAP_KINDS does not name python-pickle here: add it")
