"""Whatever a model host's process does, only the culprit is refused, and the next batch gets another host."""

import asyncio
import os
import shutil
import signal
from dataclasses import replace
from functools import partial

import pytest

from fakes.examples import EXAMPLES, IRIS
from fakes.hostile_child import EXHAUSTS_JAVA, EXHAUSTS_PYTHON, EXITS, KILLS, NEVER_RETURNS, RAISES
from fakes.hosts import HOSTILE, LIAR, with_magic
from fakes.processes import gone
from hotswap.artifacts.store import Store
from hotswap.batch import Code, Envelope, Refusal, Seal, Stamp, Unsealed
from hotswap.errors import HostError
from hotswap.generation import Model
from hotswap.settings import Settings


async def test_a_request_that_kills_its_host_is_refused_and_the_rest_is_scored(hosts):
    host = await hosts.start(*HOSTILE)
    requests = IRIS.requests()
    expected = await host.score(requests)
    for harm, code, restarts, told in (
        (KILLS, Code.HOST_CRASHED, ["crashed", "crashed"], "SIGKILL"),
        (EXITS, Code.HOST_CRASHED, ["crashed", "crashed"], "exit code 0"),
        (EXHAUSTS_JAVA, Code.HOST_CRASHED, ["crashed", "crashed"], "out of memory (the Java heap)"),
        (EXHAUSTS_PYTHON, Code.HOST_CRASHED, ["crashed", "crashed"], "out of memory"),
        (RAISES, Code.MODEL_ERROR, [], "IllegalStateException: as it was asked to"),
    ):
        hosts.restarts.clear()

        answers = await host.score(with_magic(requests, {37: harm}))

        refusal = answers.pop(37)
        assert isinstance(refusal, Refusal), told
        assert (refusal.code, told in refusal.message) == (code, True), refusal
        assert answers == expected[:37] + expected[38:], told
        assert hosts.restarts == restarts, told


async def test_a_request_that_never_returns_is_refused_and_the_rest_is_scored(hosts):
    host = await hosts.start(*HOSTILE, deadline_s=1.0)
    requests = IRIS.requests()[:20]
    expected = await host.score(requests)

    answers = await host.score(with_magic(requests, {0: NEVER_RETURNS}))

    assert answers[0].code is Code.HOST_TOO_SLOW
    assert "1000 ms" in answers[0].message
    assert answers[1:] == expected[1:]
    assert hosts.restarts == ["too_slow", "too_slow"]


async def test_k_harmful_requests_are_refused_with_k_plus_one_restarts(hosts):
    host = await hosts.start(*HOSTILE)
    requests = IRIS.requests()[:10]
    expected = await host.score(requests)

    answers = await host.score(with_magic(requests, {0: KILLS, 1: EXITS, 5: RAISES, 8: KILLS}))

    codes = {place: answer.code for place, answer in enumerate(answers) if isinstance(answer, Refusal)}
    crashed = dict.fromkeys((0, 1, 8), Code.HOST_CRASHED)
    assert codes == {**crashed, 5: Code.MODEL_ERROR}
    assert [answers[place] for place in (2, 3, 4, 6, 7, 9)] == [expected[place] for place in (2, 3, 4, 6, 7, 9)]
    assert hosts.restarts == ["crashed"] * 4


async def test_waiting_batches_are_unaffected_by_one_that_kills_the_host(hosts):
    host = await hosts.start(*HOSTILE)
    requests = IRIS.requests()[:10]
    expected = await host.score(requests)

    answers = await asyncio.gather(*(host.score(with_magic(requests, {3: KILLS} if n == 1 else {})) for n in range(4)))

    assert [answers[n] for n in (0, 2, 3)] == [expected] * 3
    assert [isinstance(answer, Refusal) for answer in answers[1]] == [place == 3 for place in range(10)]


async def test_no_request_is_lost_or_refused_when_a_host_is_killed_from_outside(hosts):
    host = await hosts.start()
    requests = IRIS.requests()
    expected = list(await host.score(requests))

    os.kill(host.pid, signal.SIGKILL)  # while it is idle
    await gone(host.pid)
    assert await host.score(requests) == expected
    os.kill(host.pid, signal.SIGSTOP)  # so that it cannot answer before it is killed
    batch = asyncio.create_task(host.score(requests * 20))
    await asyncio.sleep(0)  # until it is sent
    os.kill(host.pid, signal.SIGKILL)

    assert await batch == expected * 20
    assert hosts.restarts == ["crashed", "crashed"]


@pytest.mark.parametrize(
    "lie",
    ["too few", "too many", "no frame", "a huge frame", "a pickle", "another kind", "no such code", "not in turn"],
)
async def test_a_host_that_sends_a_malformed_answer_is_replaced_and_the_batch_is_answered(hosts, lie, tmp_path):
    # It sends one malformed answer, to a whole batch; from then on it is honest, so every request is answered.
    (tmp_path / "lie").write_text(lie)
    host = await hosts.start(*LIAR, str(tmp_path / "lie"))

    assert await host.score([b"a", b"bc"]) == [b"a", b"bc"]
    assert hosts.restarts == ["crashed"]


@pytest.mark.parametrize(("kind", "is_trusted"), [("h2o", True), ("java", False)])
async def test_only_a_host_that_runs_nobody_elses_code_may_write_record_batches(hosts, kind, is_trusted, tmp_path):
    host = await hosts.start(*LIAR, str(tmp_path / "lie"), load=replace(IRIS.load(), kind=kind))

    assert host.can_seal is is_trusted


async def test_a_host_that_breaks_the_protocol_when_it_is_to_seal_is_replaced_and_scores_one_by_one(hosts, tmp_path):
    host = await hosts.start(*LIAR, str(tmp_path / "lie"))
    seal = Seal([], 0, 1, 1, Stamp(1, 1, 1, True, 1), 0, Envelope((), (), b"", (), (), 1, 1, 1))

    assert await host.seal(seal, {}) is Unsealed.FAILED
    assert await host.score([b"a", b"b"], is_suspect=True) == [b"a", b"b"]
    assert hosts.restarts == ["crashed"]


async def test_large_record_batches_one_after_the_other_do_not_fill_the_hosts_memory(hosts):
    # Java makes no garbage of one that it cannot read, and so collects none: 2.4 GB, and this host may have 1.7.
    host = await hosts.start()
    seal = Seal(
        [memoryview(bytes(8 << 20))], 0, 1, 1, Stamp(1, 1, 1, True, 1), 0, Envelope((), (), b"", (), (), 1, 1, 1)
    )

    assert {await host.seal(seal, {}) for _ in range(300)} == {Unsealed.UNREADABLE}
    assert hosts.restarts == []


async def test_a_batch_that_is_too_slow_only_as_a_whole_is_answered_completely(hosts, tmp_path):
    (tmp_path / "lie").write_text("sleeps")
    host = await hosts.start(*LIAR, str(tmp_path / "lie"), deadline_s=1.0)

    assert await host.score([b"a"] * 50) == [b"a"] * 50
    assert hosts.restarts == ["too_slow"]


async def test_a_model_changed_on_disk_is_not_loaded_to_replace_a_dead_host(hosts, tmp_path):
    store = Store(Settings(cache=tmp_path / "cache", store=(tmp_path / "store").as_uri()))
    model, other = [
        Model(*await store.upload(EXAMPLES / "models" / f"{name}.zip"), "h2o") for name in ("iris_gbm", "iris_glm")
    ]
    folder, another = await store.fetch(model), await store.fetch(other)
    load = replace(IRIS.load(model=folder), verify=partial(store.verify, model))
    host = await hosts.start(load=load)
    expected = await host.score(IRIS.requests())
    shutil.rmtree(folder)
    shutil.copytree(another, folder)
    os.kill(host.pid, signal.SIGKILL)

    assert await host.score(IRIS.requests()) == expected
    shutil.rmtree(tmp_path / "store")
    (folder / "model.ini").write_bytes(b"")
    os.kill(host.pid, signal.SIGKILL)
    with pytest.raises(HostError, match="cannot be reached"):
        await host.score(IRIS.requests())


async def test_restarting_a_host_is_retried_at_the_next_batch(hosts, tmp_path):
    model, away = tmp_path / "model.zip", tmp_path / "away.zip"
    shutil.copy(EXAMPLES / "models" / "iris_gbm.zip", model)
    host = await hosts.start(load=IRIS.load(model=model))
    requests = IRIS.requests()
    expected = await host.score(requests)
    shutil.move(model, away)
    os.kill(host.pid, signal.SIGKILL)

    for _ in range(2):
        with pytest.raises(HostError, match=r"generation 1 cannot be restarted: .*not a readable H2O MOJO"):
            await host.score(requests)
    shutil.move(away, model)

    assert await host.score(requests) == expected
    assert hosts.restarts == ["crashed"]
