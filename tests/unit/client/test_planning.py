"""Plans over logs in memory: what they say of a command, that they say every reason, and that nothing is written."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from fakes.client import MODEL, PROTO, SERVICE, commands, first_swap, proto
from fakes.kafka_logs import FakeWorker
from fakes.signing import lasting, trust_file
from hotswap.client.change import Change, Rollout
from hotswap.client.client import Client
from hotswap.client.cut import Cut
from hotswap.client.local_load import LocalLoad
from hotswap.client.planning import Planner
from hotswap.errors import StartError, UsageError
from hotswap.generation import Configuration, Model, Policy
from hotswap.trust.keys import Signer

NEW = Model("file:///new.onnx", "b" * 64, "onnx", "new")
OTHER = proto(PROTO.replace("double x", "double z") + SERVICE)
WIDER = proto(PROTO.replace("double x = 1;", "double x = 1; optional double z = 2;") + SERVICE)
KINDS = {"h2o": "", "onnx": ""}
LACKS = "onnxruntime is not installed here: install hotswap[onnx] on every worker"


@pytest.fixture
def loads(monkeypatch):
    """Stand in for hosts: `loads.result` is what becomes of the next one, `loads.asked` what was to be loaded."""

    made = SimpleNamespace(result=LocalLoad(seconds=1.0, fits={"P": ("x",)}), asked=[])

    async def load_here(settings, generation, **more):
        made.asked.append((generation, more))
        return made.result

    monkeypatch.setattr("hotswap.client.planning.load_here", load_here)
    return made


@pytest.fixture
async def served(cluster, settings, loads):
    """Generation 1 serves on two workers that know staging, and some requests are not answered."""
    for name in ("w1", "w2"):
        FakeWorker(cluster, settings, name).speak(generation=1, loaded=[1], kinds=KINDS, contract=2)
    async with Client(settings) as client:
        await first_swap(client)
    for number in range(5):
        cluster.append(settings.topics.requests, b"", partition=number % 2)
    return cluster


@pytest.fixture(autouse=True)
def nothing_written(request, cluster, settings, tmp_path):
    """Whatever a plan says, no topic grows, and there is no store."""
    yield
    kept = [record for parts in cluster.topics.values() for records in parts for record in records]
    marked = [record for record in kept if record.topic == settings.topics.control]
    assert len(marked) <= getattr(cluster, "commanded", 1), "a plan has written a command"
    assert not (tmp_path / "store").exists()


async def plan_of(settings, **change):
    return await Planner(settings).swap(Change(**change))


async def test_a_good_plan_names_the_number_the_parts_and_the_cut(served, settings, loads):
    plan = await plan_of(settings, model=NEW)
    assert (plan.reasons, plan.is_good) == ((), True)
    assert (plan.generation, plan.serving, plan.base, plan.live) == (2, 1, 1, 2)
    assert (plan.inherited, plan.changed) == (("proto", "configuration"), ("model",))
    assert (plan.step, plan.incompatible, plan.notes) == (None, (), ())
    assert plan.course == ("in one step, at once: each partition at its next batch",)
    ((generation, more),) = loads.asked
    assert (generation.model, generation.proto) == (NEW, proto())
    assert (more["own"].file, more["is_inherited"], more["max_answer_bytes"]) == (None, False, 1_934_464)


async def test_a_local_model_is_digested_and_nothing_of_it_is_uploaded(served, settings, loads, tmp_path):
    (file := tmp_path / "churn.onnx").write_bytes(b"a model")
    large = tmp_path / "large.proto"
    large.write_text(PROTO + SERVICE + "//" + "x" * 70_000)
    plan = await plan_of(settings, model=file, kind="onnx", proto=large)
    assert plan.is_uploaded
    assert plan.model.uri == f"{settings.store_url}/{plan.model.sha256}/churn.onnx"
    assert plan.model.name == "churn"
    ((generation, more),) = loads.asked
    assert (more["own"].file, more["own"].kind) == (file, "onnx")
    assert generation.proto.source is None
    assert more["own"].proto.source == large.read_bytes(), "what is not in the store cannot be fetched from it"


async def test_an_incompatible_proto_is_cut_after_the_backlog_as_of_now_and_has_a_major_step(served, settings, loads):
    served.scored = {0: 1, 1: 1}
    served.committed = {0: 1, 1: 2}
    plan = await plan_of(settings, proto=OTHER)
    assert (plan.step.name, plan.incompatible) == ("major", ("field A.x = 1 is called z now",))
    assert dict(plan.cut_over.offsets) == {0: 3, 1: 2}
    assert plan.backlog == 2
    assert plan.course == (
        "in one step, after the backlog as of now (2 unanswered requests before it): partition 0 at 3, 1 at 2",
    )
    assert plan.changed == ("proto",)
    assert loads.asked[0][1]["is_inherited"]


async def test_a_cut_at_once_is_warned_of_and_a_compatible_proto_is_a_minor_step(served, settings, loads):
    plan = await plan_of(settings, proto=OTHER, cut=Cut.AT_ONCE)
    assert plan.is_good
    assert "it is cut at once" in plan.notes[0]
    plan = await plan_of(settings, proto=WIDER)
    assert (plan.step.name, plan.incompatible, plan.notes) == ("minor", (), ())


async def test_a_proto_that_differs_is_staged_on_all_workers_and_promoted_at_once(served, settings, loads):
    plan = await plan_of(settings, proto=OTHER, rollout=Rollout())
    assert plan.course == (
        "staged on all live workers (2) first",
        "promoted on all partitions once all are ready, after the backlog of then",
    )
    assert "first command of d for version 2" in plan.notes[0]
    plan = await plan_of(settings, proto=OTHER, rollout=Rollout(canary=Fraction(1, 2)))
    assert "both cannot score at a time" in plan.impossible
    assert plan.reasons == (plan.impossible,)


async def test_a_canary_and_a_stagger_name_their_partitions_and_an_impossible_one_is_a_reason(served, settings, loads):
    plan = await plan_of(settings, model=NEW, rollout=Rollout(canary=Fraction(1, 2)))
    assert plan.course[1:] == (
        "promoted on partition 0 once all are ready (1 of 2)",
        "promoted on the others by `hotswap promote`",
    )
    plan = await plan_of(settings, model=NEW, rollout=Rollout(stagger=1, pause_s=60.0))
    assert plan.course[1:] == ("promoted in 2 steps, 60 s apart, once all are ready: partition 0; the others",)
    plan = await plan_of(settings, model=NEW, rollout=Rollout(canary=Fraction(1, 3)))
    assert plan.reasons == ("1/3 of 2 partitions is no whole number of them, not all: possible are 1/2 to 1/2",)
    assert (plan.course, len(loads.asked)) == ((), 3), "the others are checked all the same"


async def test_a_worker_of_an_older_contract_is_named(served, settings, loads):
    FakeWorker(served, settings, "w3").speak(generation=1, loaded=[1], kinds=KINDS, contract=1)
    plan = await plan_of(settings, proto=OTHER, rollout=Rollout())
    assert "in one step, since w3 would not understand it" in plan.notes[0]
    assert plan.cut_over.offsets
    plan = await plan_of(settings, model=NEW, rollout=Rollout(is_barrier=True))
    assert plan.reasons[0].startswith("a generation cannot be staged here: w3 would not understand it")


async def test_every_reason_is_told_not_only_the_first(served, settings, loads):
    FakeWorker(served, settings, "w3").speak(generation=1, loaded=[1], kinds=KINDS | {"onnx": LACKS}, contract=2)
    loads.result = LocalLoad(fault="SCHEMA_MISMATCH: they do not fit:\nP: column `q`")
    plan = await plan_of(settings, model=NEW, generation=1, rollout=Rollout(canary=Fraction(1, 3)))
    stale, canary, lacking, fault = plan.reasons
    assert stale.startswith("STALE: generation 1 is not greater than 1")
    assert canary.startswith("1/3 of 2 partitions")
    assert lacking.startswith(f"KIND_MISSING: live workers cannot load models of kind onnx: w3 ({LACKS})")
    assert fault == loads.result.fault
    assert not plan.is_good


async def test_what_is_not_checked_here_is_no_reason(served, settings, loads):
    loads.result = LocalLoad(unchecked=LACKS)
    assert (await plan_of(settings, model=NEW)).is_good


async def test_the_log_would_refuse_an_unknown_base_and_a_first_swap_without_a_proto(cluster, settings, loads):
    plan = await plan_of(settings, model=NEW)
    assert plan.reasons == ("INCOMPLETE: a deployment's first generation must name a proto: nothing to inherit",)
    assert "no worker reports: it would be staged once one starts" in plan.notes
    assert loads.asked == []
    plan = await plan_of(settings, model=NEW, proto=proto(), base=7)
    assert plan.reasons[0].startswith("UNKNOWN_BASE: generation 7 was never accepted here")
    plan = await plan_of(settings, model=NEW, proto=proto())
    assert (plan.is_good, plan.generation, plan.serving, plan.inherited) == (True, 1, 0, ())
    assert plan.changed == ("model", "proto", "configuration")


async def test_a_number_out_of_reach_is_refused_as_the_command_would_be(served, settings, loads):
    plan = await plan_of(settings, model=NEW, generation=2**60)
    assert plan.reasons[0].startswith("OUT_OF_RANGE: ")
    assert len(loads.asked) == 1


async def test_a_signature_that_the_log_requires_is_missed_before_anything_is_written(
    cluster, settings, loads, tmp_path
):
    signer = Signer.new()
    signer.write(tmp_path / "key.pem")
    given = {"trust": trust_file(tmp_path, lasting(signer)), "sign_with": tmp_path / "key.pem"}
    signing = settings.model_copy(update=given)
    FakeWorker(cluster, settings).speak(trust_sha256="", kinds=KINDS)
    cluster.commanded = 2
    async with Client(signing) as client:
        await first_swap(client)
    async with Client(signing) as client:
        cluster.members.clear()
        await client.trust(revoked=()) if not _live(cluster) else None


def _live(cluster):
    return True


async def test_nothing_would_change_a_staged_one_would_be_superseded_and_a_pause_is_told(served, settings, loads):
    plan = await plan_of(settings, base=1)
    assert (plan.is_good, plan.changed) == (True, ())
    assert plan.notes == ("nothing would change: generation 1 serves with the same parts",)
    async with Client(settings) as client:
        await client.swap(Change(model=NEW, rollout=Rollout(is_barrier=True)))
        await client.pause()
    served.commanded = 3
    plan = await plan_of(settings, configuration=Configuration(missing=Policy.REFUSE))
    assert (plan.generation, plan.changed) == (3, ("configuration",))
    assert plan.notes == ("generation 2, which is staged, would go no further", "d is paused")


async def test_a_proto_that_does_not_compile_is_a_reason_and_a_missing_file_a_wrong_call(served, settings, tmp_path):
    (broken := tmp_path / "broken.proto").write_text("message A {")
    plan = await plan_of(settings, proto=broken)
    assert plan.reasons[0].startswith(f"PROTO_INVALID: {broken}")
    assert (plan.generation, plan.course) == (0, ())
    for change in ({}, {"model": tmp_path / "none.zip"}, {"proto": tmp_path / "none.proto"}):
        with pytest.raises(UsageError):
            await plan_of(settings, **change)


async def test_a_rollback_has_all_parts_of_its_target(served, settings, loads):
    async with Client(settings) as client:
        await client.swap(Change(model=NEW))
    served.commanded = 2
    plan = await Planner(settings).rollback()
    assert (plan.is_good, plan.generation, plan.serving, plan.base) == (True, 3, 2, 1)
    assert (plan.inherited, plan.changed) == (("model", "proto", "configuration"), ("model",))
    ((generation, more),) = loads.asked
    assert (generation.model, more["is_inherited"]) == (MODEL, True)
    plan = await Planner(settings).rollback(9)
    assert plan.reasons[0].startswith("UNKNOWN_BASE: generation 9")


async def test_who_has_loaded_the_model_already_does_not_load_it_again(served, settings, loads):
    plan = await Planner(settings, is_loading=False).swap(Change(model=NEW))
    assert (plan.is_good, loads.asked) == (True, [])


async def test_a_deployment_without_topics_has_no_plan(cluster, settings, loads):
    del cluster.topics[settings.topics.requests]
    with pytest.raises(StartError):
        await plan_of(settings, model=NEW, proto=proto())
    assert commands(cluster, settings) == []
