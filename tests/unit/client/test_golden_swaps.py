"""Golden answers of a swap: uploaded with a file, inherited or left out by a choice, and refused for older workers."""

import pytest

from fakes.client import MODEL, commands, first_swap, proto
from fakes.kafka_logs import FakeWorker
from hotswap.artifacts.store import Store
from hotswap.client.change import Change, GoldenChoice
from hotswap.client.client import Client
from hotswap.codec.golden import GoldenAnswers, GoldenRow
from hotswap.errors import UsageError
from hotswap.generation import Configuration, Golden

RENAMED = 'syntax="proto3"; message A { optional double z = 1; } message B { string y = 1; } '


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "golden.csv"
    path.write_text("x,y\n1.5,yes\n")
    return path


@pytest.fixture
def worker(cluster, settings):
    made = FakeWorker(cluster, settings)
    made.speak(contract=2)
    return made


async def test_a_file_is_read_by_the_new_proto_and_goes_into_the_store(cluster, settings, worker, file):
    async with Client(settings) as client:
        await client.swap(Change(model=MODEL, proto=proto(), golden=file, golden_tolerances={"y": 0.5}))
    (command,) = commands(cluster, settings)

    assert command.golden.uri.startswith(settings.store)
    stored = GoldenAnswers.parse(await Store(settings).fetch_golden(command.golden))
    assert stored == GoldenAnswers(rows=[GoldenRow({"x": 1.5}, {"y": "yes"})], operation="P", tolerances={"y": 0.5})


async def test_a_swap_that_replaces_model_or_proto_of_a_base_with_golden_answers_has_to_choose(
    cluster, settings, worker, file
):
    async with Client(settings) as client:
        await client.swap(Change(model=MODEL, proto=proto(), golden=file))
        for change, part in ((Change(model=MODEL), "model"), (Change(proto=proto()), "proto")):
            with pytest.raises(UsageError, match=f"generation 1 has golden answers, and this swap replaces its {part}"):
                await client.swap(change)
        assert len(commands(cluster, settings)) == 1
        await client.swap(Change(configuration=Configuration()))
        await client.swap(Change(model=MODEL, golden=GoldenChoice.INHERIT))
        await client.swap(Change(model=MODEL, golden=GoldenChoice.NONE))
        await client.swap(Change(model=MODEL))
    first, configured, inherited, left_out, last = commands(cluster, settings)
    assert (first.golden.sha256, configured.golden, inherited.golden) == (first.golden.sha256, None, None)
    assert (left_out.golden, last.golden) == (Golden(), None)


async def test_what_there_is_not_cannot_be_inherited_and_needs_not_be_left_out(cluster, settings, worker):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(UsageError, match="there are no golden answers to inherit"):
            await client.swap(Change(model=MODEL, golden=GoldenChoice.INHERIT))
        await client.swap(Change(model=MODEL, golden=GoldenChoice.NONE))
    assert commands(cluster, settings)[-1].golden is None


async def test_rows_that_do_not_fit_the_new_proto_write_nothing(cluster, settings, worker, file):
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(UsageError, match=r"golden\.csv: column x is no field of the request"):
            await client.swap(Change(proto=proto(RENAMED + "service S { rpc P(A) returns (B); }"), golden=file))
        with pytest.raises(UsageError, match="tolerances are those of a file"):
            await client.swap(Change(model=MODEL, golden_tolerances={"y": 1}))
        with pytest.raises(UsageError, match="cannot be published: it has no rows"):
            await client.swap(Change(model=MODEL, golden=GoldenAnswers(rows=[])))
    assert len(commands(cluster, settings)) == 1


async def test_a_worker_of_an_earlier_contract_is_named_and_nothing_is_written(cluster, settings, worker, file):
    FakeWorker(cluster, settings, name="w0").speak()
    async with Client(settings) as client:
        await first_swap(client)
        with pytest.raises(UsageError, match=r"live workers do not know golden answers: w0\. Upgrade them"):
            await client.swap(Change(model=MODEL, golden=file))
        FakeWorker(cluster, settings, name="w0").speak(stopped=True)
        await client.swap(Change(model=MODEL, golden=file))
    assert len(commands(cluster, settings)) == 2
