"""The promises of a model host, with a real MOJO: whatever its process does, each request gets what it deserves."""

import asyncio
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from fakes.examples import EXAMPLES, IRIS, MIXED_GLM
from fakes.hostile_child import EXHAUSTS_JAVA, EXHAUSTS_PYTHON, EXITS, KILLS, NEVER_RETURNS, RAISES
from fakes.processes import gone, is_running, left_behind, nothing_left, proc
from hotswap.artifacts.store import Store
from hotswap.batch import Code, Refusal
from hotswap.errors import HostError, SwapError
from hotswap.generation import Model
from hotswap.host import frames
from hotswap.host.parent import ModelHost
from hotswap.settings import Settings

FAKES = Path(__file__).parents[2] / "fakes"
HOSTILE = (sys.executable, str(FAKES / "hostile_child.py"))
LIAR = (sys.executable, str(FAKES / "liar_child.py"))


class Hosts:
    """Makes hosts that are stopped at the end of a test; `restarts` has the reason of each restart of any of them."""

    def __init__(self):
        self.restarts = []
        self.made = []

    async def start(self, *child, load=None, deadline_s=30.0):
        host = ModelHost(
            load=load or IRIS.load(),
            deadline_s=deadline_s,
            on_restart=self.restarts.append,
            on_unknown=pytest.fail,
            **({"child": child} if child else {}),
        )
        self.made.append(host)
        await host.start()
        return host


@pytest.fixture
async def hosts():
    made = Hosts()
    yield made
    for host in made.made:
        await host.stop()


def with_magic(requests, places):
    """Replace some of the requests with ones that make the hostile child misbehave."""
    message = IRIS.operation.input
    changed = list(requests)
    for place, value in places.items():
        changed[place] = message(sepal_length=value).SerializeToString()
    return changed


# ---- answers


async def test_a_host_says_what_it_serves_and_how_long_each_phase_took():
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail)
    description = await host.start()
    await host.stop()

    assert description.operations == ("Classify",)
    assert (description.inputs, description.outputs) == (
        {"Classify": "examples.iris.Iris"},
        {"Classify": "examples.iris.Species"},
    )
    assert "sepal_length (numeric)" in description.columns
    assert description.phase_seconds.keys() == {"start", "load", "warm"}
    assert all(seconds > 0 for seconds in description.phase_seconds.values())


async def test_a_host_gives_way_where_it_is_told_to_and_not_in_the_place_of_one_that_died(monkeypatch):
    orders, pack = [], frames.pack_load
    monkeypatch.setattr(frames, "pack_load", lambda order: orders.append(order) or pack(order))
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=lambda _: None, on_unknown=pytest.fail)
    await host.start(gives_way=True)
    os.kill(host.pid, signal.SIGKILL)
    await host.score(IRIS.requests())
    await host.stop()
    assert [order.gives_way for order in orders] == [True, False]


async def test_batches_that_come_at_once_each_get_their_own_answers(hosts):
    host = await hosts.start()
    requests = IRIS.requests()
    expected = await host.score(requests)

    parts = [slice(start, start + 10) for start in range(0, 150, 10)]
    answers = await asyncio.gather(*(host.score(requests[part]) for part in parts))

    assert answers == [expected[part] for part in parts]
    assert await host.score([]) == []


async def test_a_batch_larger_than_every_buffer_comes_back_whole(hosts):
    host = await hosts.start()
    requests = IRIS.requests() * 400

    answers = await host.score(requests)

    assert len(answers) == 60_000
    assert answers[:150] == answers[-150:]


async def test_a_caller_that_goes_away_takes_nobodys_answers(hosts):
    host = await hosts.start()
    requests = IRIS.requests()
    expected = await host.score(requests)

    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await host.score(requests * 20)
        assert await host.score(requests[::-1]) == expected[::-1]
    assert hosts.restarts == []


async def test_a_caller_that_goes_away_after_long_ends_the_host_and_the_next_batch_has_another_one(hosts):
    host = await hosts.start(*HOSTILE, deadline_s=600.0)
    requests = IRIS.requests()
    expected = await host.score(requests)
    pid = host.pid
    endless = asyncio.create_task(host.score(with_magic(requests, {0: NEVER_RETURNS})))
    waiting = asyncio.create_task(host.score(requests))
    async with asyncio.timeout(20):
        while host.busy_s < 0.6:
            await asyncio.sleep(0.01)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless

    assert await waiting == expected
    assert host.busy_s == 0.0
    assert not is_running(pid)
    assert hosts.restarts == ["too_slow"]


# ---- hosts that die


@pytest.mark.parametrize(
    ("harm", "code", "restarts", "told"),
    [
        (KILLS, Code.HOST_CRASHED, ["crashed", "crashed"], "SIGKILL"),
        (EXITS, Code.HOST_CRASHED, ["crashed", "crashed"], "exit code 0"),
        (EXHAUSTS_JAVA, Code.HOST_CRASHED, ["crashed", "crashed"], "out of memory (the Java heap)"),
        (EXHAUSTS_PYTHON, Code.HOST_CRASHED, ["crashed", "crashed"], "out of memory"),
        (RAISES, Code.MODEL_ERROR, [], "IllegalStateException: as it was asked to"),
    ],
)
async def test_a_request_that_harms_its_host_is_refused_and_the_rest_is_scored(hosts, harm, code, restarts, told):
    host = await hosts.start(*HOSTILE)
    requests = IRIS.requests()
    expected = await host.score(requests)

    answers = await host.score(with_magic(requests, {37: harm}))

    refusal = answers.pop(37)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, told in refusal.message) == (code, True)
    assert answers == expected[:37] + expected[38:]
    assert hosts.restarts == restarts


async def test_a_request_that_never_returns_is_refused_and_the_rest_is_scored(hosts):
    host = await hosts.start(*HOSTILE, deadline_s=1.0)
    requests = IRIS.requests()[:20]
    expected = await host.score(requests)

    answers = await host.score(with_magic(requests, {0: NEVER_RETURNS}))

    assert answers[0].code is Code.HOST_TOO_SLOW
    assert "1000 ms" in answers[0].message
    assert answers[1:] == expected[1:]
    assert hosts.restarts == ["too_slow", "too_slow"]


async def test_each_of_several_harmful_requests_is_refused_with_one_restart_more_than_there_are(hosts):
    host = await hosts.start(*HOSTILE)
    requests = IRIS.requests()[:10]
    expected = await host.score(requests)

    answers = await host.score(with_magic(requests, {0: KILLS, 1: EXITS, 5: RAISES, 8: KILLS}))

    codes = {place: answer.code for place, answer in enumerate(answers) if isinstance(answer, Refusal)}
    crashed = dict.fromkeys((0, 1, 8), Code.HOST_CRASHED)
    assert codes == {**crashed, 5: Code.MODEL_ERROR}
    assert [answers[place] for place in (2, 3, 4, 6, 7, 9)] == [expected[place] for place in (2, 3, 4, 6, 7, 9)]
    assert hosts.restarts == ["crashed"] * 4


async def test_batches_that_wait_are_not_touched_by_one_that_kills_the_host(hosts):
    host = await hosts.start(*HOSTILE)
    requests = IRIS.requests()[:10]
    expected = await host.score(requests)

    answers = await asyncio.gather(*(host.score(with_magic(requests, {3: KILLS} if n == 1 else {})) for n in range(4)))

    assert [answers[n] for n in (0, 2, 3)] == [expected] * 3
    assert [isinstance(answer, Refusal) for answer in answers[1]] == [place == 3 for place in range(10)]


async def test_a_host_killed_from_outside_loses_and_refuses_nothing(hosts):
    host = await hosts.start()
    requests = IRIS.requests()
    expected = await host.score(requests)

    os.kill(host.pid, signal.SIGKILL)  # while it is idle
    await gone(host.pid)
    assert await host.score(requests) == expected
    batch = asyncio.create_task(host.score(requests * 20))
    await asyncio.sleep(0)  # until it is sent
    os.kill(host.pid, signal.SIGKILL)

    assert await batch == expected * 20
    assert hosts.restarts == ["crashed", "crashed"]


@pytest.mark.parametrize(
    "lie",
    ["too few", "too many", "no frame", "a huge frame", "a pickle", "another kind", "no such code", "not in turn"],
)
async def test_a_host_that_sends_what_is_no_answer_is_replaced_and_the_batch_is_answered(hosts, lie, tmp_path):
    # It lies once, about a whole batch; then it is honest, so every request is answered.
    (tmp_path / "lie").write_text(lie)
    host = await hosts.start(*LIAR, str(tmp_path / "lie"))

    assert await host.score([b"a", b"bc"]) == [b"a", b"bc"]
    assert hosts.restarts == ["crashed"]


async def test_a_batch_too_slow_only_as_a_whole_is_answered_whole(hosts, tmp_path):
    (tmp_path / "lie").write_text("sleeps")
    host = await hosts.start(*LIAR, str(tmp_path / "lie"), deadline_s=1.0)

    assert await host.score([b"a"] * 50) == [b"a"] * 50
    assert hosts.restarts == ["too_slow"]


async def test_a_model_that_was_changed_on_disk_is_not_what_takes_the_place_of_a_host_that_died(hosts, tmp_path):
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


async def test_a_host_that_cannot_be_started_again_is_tried_again_at_the_next_batch(hosts, tmp_path):
    model, away = tmp_path / "model.zip", tmp_path / "away.zip"
    shutil.copy(EXAMPLES / "models" / "iris_gbm.zip", model)
    host = await hosts.start(load=IRIS.load(model=model))
    requests = IRIS.requests()
    expected = await host.score(requests)
    shutil.move(model, away)
    os.kill(host.pid, signal.SIGKILL)

    for _ in range(2):
        with pytest.raises(HostError, match=r"generation 1 cannot be started again: .*no H2O MOJO"):
            await host.score(requests)
    shutil.move(away, model)

    assert await host.score(requests) == expected
    assert hosts.restarts == ["crashed"]


# ---- starts and stops


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("print('some last words'); raise SystemExit(9)", "exit code 9; the last that it printed: some last words"),
        ("import os, sys; os.write(int(sys.argv[1]), b'\\1\\0\\0\\0x')", "a frame of 1 bytes is of no known kind"),
        ("import os, sys; os.write(int(sys.argv[1]), b'\\7\\0\\0\\0\\1\\0\\0\\0\\0{}')", "of itself is not whole"),
        (
            "import os, sys; os.write(int(sys.argv[1]), b'\\0\\0\\0\\4\\1'); os.read(int(sys.argv[1]), 1)",
            "frame READY of 67,108,864",
        ),
        (None, "could not be started"),
    ],
)
async def test_a_child_that_does_not_get_ready_is_a_failed_host_with_its_last_words(program, told):
    before = left_behind()
    child = (sys.executable, "-c", program) if program else ("/no/such/program",)
    host = ModelHost(load=IRIS.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=pytest.fail, child=child)

    with pytest.raises(SwapError) as failed:
        await host.start()

    assert failed.value.code == "HOST_FAILED"
    assert told in failed.value.message
    await nothing_left(before)


@pytest.mark.parametrize(("what", "error"), [("tempfile.mkdtemp", errno.ENOSPC), ("os.pipe", errno.EMFILE)])
async def test_a_host_for_which_there_is_no_room_is_a_failed_host_and_leaves_nothing(what, error, hosts, monkeypatch):
    before = left_behind()

    def fails(*_, **__):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(what, fails)
    with pytest.raises(SwapError, match=os.strerror(error)) as failed:
        await hosts.start()

    assert failed.value.code == "HOST_FAILED"
    await nothing_left(before)


async def test_nothing_is_left_of_a_host_however_it_ends(hosts):
    before = left_behind()

    stopped = await hosts.start()
    first = stopped.pid
    await stopped.score(IRIS.requests())
    await stopped.stop()
    killed = await hosts.start()
    second = killed.pid
    killed.kill()
    cancelled = asyncio.create_task(hosts.start())
    while not hosts.made[-1].pid or hosts.made[-1] is killed:
        await asyncio.sleep(0)
    third = hosts.made[-1].pid
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await asyncio.sleep(0)  # closed transports let go of their descriptors at the next turn of the loop

    await nothing_left(before)
    assert not any(map(is_running, (first, second, third)))


async def test_a_stop_ends_a_host_that_never_returns_and_its_batch_is_in_doubt(hosts):
    host = await hosts.start(*HOSTILE)
    pid = host.pid
    batch = asyncio.create_task(host.score(with_magic(IRIS.requests(), {0: NEVER_RETURNS})))
    await asyncio.sleep(0)

    async with asyncio.timeout(6):
        await host.stop()

    with pytest.raises(HostError, match="stopped"):
        await batch
    with pytest.raises(HostError, match="stopped"):
        await host.score(IRIS.requests())
    assert not is_running(pid)
    assert hosts.restarts == []


async def test_a_stop_lets_the_batch_in_hand_finish(hosts):
    host = await hosts.start()
    batch = asyncio.create_task(host.score(IRIS.requests()))
    await asyncio.sleep(0)

    await host.stop()

    assert all(isinstance(answer, bytes) for answer in await batch)


async def test_a_host_has_no_credentials_no_core_files_and_a_limit_on_its_memory(hosts, monkeypatch):
    monkeypatch.setenv("HOTSWAP_SASL_PASSWORD", "secret")
    host = await hosts.start()

    environment, limits = proc(host.pid, "environ"), proc(host.pid, "limits").splitlines()

    assert "secret" not in environment
    assert "HOME=" not in environment
    assert {name: line.split()[-3] for line in limits for name in ("core", "data") if f"Max {name}" in line} == {
        "core": "0",
        "data": str((128 + 1536) << 20),
    }
    assert os.getsid(host.pid) == host.pid


@pytest.mark.parametrize("magic", [5.0, NEVER_RETURNS])
async def test_a_host_dies_with_a_worker_that_is_killed_idle_or_not(tmp_path, magic):
    script = f"""if True:
        import asyncio
        from fakes.examples import IRIS
        from hotswap.host.parent import ModelHost

        async def main():
            request = IRIS.operation.input(sepal_length={magic}).SerializeToString()
            host = ModelHost(load=IRIS.load(), deadline_s=60, on_restart=print, on_unknown=print, child={HOSTILE})
            await host.start()
            batch = asyncio.create_task(host.score([request]))
            await asyncio.wait([batch], timeout=0.2 if {magic == NEVER_RETURNS} else None)
            print(host.pid, flush=True)
            await asyncio.Event().wait()

        asyncio.run(main())"""
    environment = {**os.environ, "PYTHONPATH": f"{FAKES.parent}:{FAKES.parents[1] / 'worker'}", "TMPDIR": str(tmp_path)}
    command = (sys.executable, "-c", script)
    worker = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
    pid = int(await worker.stdout.readline())
    worker.kill()
    await worker.wait()

    await gone(pid)
    assert not is_running(pid)


async def test_unknown_categories_are_reported():
    seen = {}
    host = ModelHost(load=MIXED_GLM.load(), deadline_s=30, on_restart=pytest.fail, on_unknown=seen.__setitem__)
    await host.start()
    message = MIXED_GLM.operation.input

    await host.score(
        [message(color="mauve", country="XX").SerializeToString(), message(color="teal").SerializeToString()]
    )
    await host.stop()

    assert seen == {"color": 2, "country": 1}


def test_the_parent_never_loads_what_belongs_to_the_child():
    script = "import sys, json, hotswap.host.parent; print(json.dumps([*sys.modules]))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)

    assert not {"jpype", "numpy", "google.protobuf", "aiokafka"} & set(loaded)
