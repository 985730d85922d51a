"""What `hotswap doctor` advises a fleet."""

import pytest

from fakes.kafka_logs import FakeWorker
from hotswap.client.doctor import _fleet, _version
from hotswap.client.findings import Level
from hotswap.client.overview import overview


@pytest.mark.parametrize(
    ("told", "is_advised"), [([{"compression": "none"}, {}], 1), ([{"compression": "lz4"}, {}], 0)]
)
async def test_answers_that_a_worker_does_not_compress_are_an_advice_and_no_fault(cluster, settings, told, is_advised):
    for number, machine in enumerate(told):
        FakeWorker(cluster, settings, f"w{number}").speak(machine=machine)
    findings = list(_fleet(await overview(settings)))
    advised = [one for one in findings if one.level is Level.ADVICE]
    assert len(advised) == is_advised
    assert all("HOTSWAP_COMPRESSION=lz4" in one.advice and "reader" in one.advice for one in advised)
    assert {one.level for one in findings} <= {Level.ADVICE, Level.OK}


@pytest.mark.parametrize(("version", "level"), [(1, Level.ADVICE), (2, Level.OK)])
def test_transactions_of_version_1_are_an_advice_with_the_command_that_raises_it(settings, version, level):
    finding = _version(settings, version)
    assert (finding.level, finding.what.partition(":")[0]) == (level, f"version {version}")
    command = f"--bootstrap-server {settings.kafka} upgrade --feature transaction.version=2`"
    assert (command in finding.advice) is (version == 1)
