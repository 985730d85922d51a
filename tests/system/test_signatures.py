"""Signed commands on a real Kafka: what is forged, moved, replayed or by the wrong key is refused alike everywhere."""

import asyncio
import signal
import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from fakes.signing import entry, lasting, trust_file
from harness.audit import generation
from harness.calls import Gateway
from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment, messages
from hotswap.client.change import Change
from hotswap.client.client import Client
from hotswap.client.overview import control_log, overview
from hotswap.commands import encode_command
from hotswap.kafka.topics.writer import LogWriter
from hotswap.swap.command import PauseCommand, RollbackCommand
from hotswap.trust.file import SigningRole
from hotswap.trust.keys import Signer

CI, OPS, ADMIN, ENDED, STRANGER = (Signer.new() for _ in range(5))
WORKERS = ("w1", "w2")


@pytest.fixture
async def signed(kafka, tmp_path):
    """A deployment whose workers and clients have a trust file; it does not require signatures yet."""
    last_year = datetime.now(UTC) - timedelta(days=365)
    made = Deployment(kafka, tmp_path)
    keys = [
        lasting(CI, [SigningRole.SWAP, SigningRole.ROLLBACK]),
        lasting(OPS, [SigningRole.PAUSE, SigningRole.SKIP], "ops"),
        lasting(ADMIN, [SigningRole.TRUST], "admin"),
        entry(ENDED, "ended", not_before=last_year, not_after=last_year + timedelta(days=90)),
    ]
    keys = [key.model_copy(update={"deployments": frozenset({made.name})}) for key in keys]
    for signer in (CI, OPS, ADMIN):
        signer.write(tmp_path / f"{signer.id}.pem")
    made.settings = made.settings.model_copy(update={"trust": trust_file(tmp_path, *keys)})
    yield await made.create()
    made.close()


def client_of(made, signer):
    return Client(made.settings.model_copy(update={"sign_with": made.folder / f"{signer.id}.pem"}))


class Forger:
    """Writes to a control topic whatever it likes."""

    def __init__(self, made):
        self.settings, self.name = made.settings, made.name
        self.topic = made.settings.topics.control

    async def __aenter__(self):
        self.writer = LogWriter(self.settings)
        await self.writer.start()
        async with control_log(self.settings, None) as reader:
            self.cluster = await reader.cluster_id()
        return self

    async def __aexit__(self, *_):
        await self.writer.stop()

    async def write(self, command, signer=None, *, topic=None, cluster=None, headers=None):
        value = encode_command(self.name, command)
        if headers is None:
            place = {"topic": topic or self.topic, "cluster": cluster or self.cluster}
            headers = signer.headers(value, **place) if signer else ()
        await self.writer.append(self.topic, value, headers=headers, partition=0)
        return command.command_id

    async def said(self, command_id):
        """Return the verdict of each worker: the same, or the test has failed."""
        async with asyncio.timeout(15):
            while True:
                seen = await overview(self.settings)
                for view in seen.commands:
                    if view.entry.command.command_id == command_id and set(view.told) == set(WORKERS):
                        (verdict,) = {(told.outcome, told.code) for told in view.told.values()}
                        assert verdict == (view.entry.verdict.outcome, view.entry.verdict.code)
                        return " ".join(part for part in verdict if part)
                await asyncio.sleep(0.1)


def pause():
    return PauseCommand(command_id=str(uuid.uuid4()), is_paused=True)


def swap():
    return RollbackCommand(command_id=str(uuid.uuid4()), generation=9, to=1)


async def test_commands_are_obeyed_by_their_signatures_alone_on_every_worker_and_after_a_restart(signed):
    await signed.serve("iris_gbm", workers=WORKERS)
    async with client_of(signed, ADMIN) as admin:
        assert (await admin.await_swap(await admin.trust())).is_good
    async with Forger(signed) as forger, client_of(signed, CI) as ci, client_of(signed, OPS) as ops:
        moved = CI.headers(encode_command("another", swap()), topic=forger.topic, cluster=forger.cluster)
        expected = [
            (forger.write(pause()), "REFUSED SIGNATURE_MISSING"),
            (forger.write(pause(), STRANGER), "REFUSED NOT_TRUSTED"),
            (forger.write(pause(), CI), "REFUSED NOT_TRUSTED"),
            (forger.write(pause(), ENDED), "REFUSED NOT_TRUSTED"),
            (forger.write(pause(), OPS, topic="hotswap.control"), "REFUSED SIGNATURE_INVALID"),
            (forger.write(pause(), OPS, cluster="another"), "REFUSED SIGNATURE_INVALID"),
            (forger.write(swap(), headers=moved), "REFUSED SIGNATURE_INVALID"),
            (forger.write(swap(), OPS), "REFUSED NOT_TRUSTED"),
        ]
        ids = [(await writing, verdict) for writing, verdict in expected]
        assert [await forger.said(command_id) for command_id, _ in ids] == [verdict for _, verdict in ids]

        # A genuine pause, written again once it is over, pauses nothing; without its signature, it is no answer to it.
        genuine = pause()
        await forger.write(genuine, OPS)
        assert await forger.said(genuine.command_id) == "APPLIED"
        assert (await ops.await_swap(await ops.resume())).is_good
        await forger.write(genuine, OPS)
        await forger.write(genuine)
        receipt = await ci.swap(Change(model=EXAMPLES / "models" / "iris_glm.zip"))
        assert receipt.generation == 2
        assert (await ci.await_swap(receipt)).is_good
        seen = await overview(signed.settings)
        assert (seen.newest, seen.is_paused) == (2, False)
        told = next(view.told for view in seen.commands if view.entry.command.command_id == genuine.command_id)
        assert {one.outcome for one in told.values()} == {"APPLIED"}
    assert await signed.stop("w1") == 0
    signed.start("w1", HOTSWAP_REQUIRE_SIGNATURES="true")
    await signed.publish(messages("iris")[0])
    await signed.drained()
    audit = await signed.audit()
    assert audit.faults == {}
    assert {generation(message) for message in audit.predictions} == {2}


async def test_a_worker_that_requires_signatures_does_not_start_without_them(signed):
    signed.settings = signed.settings.model_copy(update={"require_signatures": True})

    async def refuses(why):
        _, said = await hotswap(signed, "run", signed.name, code=3)
        (line,) = [line for line in said.splitlines() if line.startswith("hotswap: ")]
        assert why in line

    topic = signed.settings.topics.control
    await refuses(f"`hotswap keys require {signed.name} --sign-with KEY`")
    admin = AIOKafkaAdminClient(bootstrap_servers=signed.kafka.bootstrap)
    await admin.start()
    try:
        kept = {"cleanup.policy": "delete", "retention.ms": "-1", "message.timestamp.type": "CreateTime"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, kept)])
    finally:
        await admin.close()
    await refuses(f"--entity-name {topic} --add-config message.timestamp.type=LogAppendTime")


async def test_a_trust_file_that_lets_in_a_command_of_the_log_is_obeyed_by_all_workers_without_an_operator(signed):
    await signed.serve("iris_gbm", workers=WORKERS)
    async with client_of(signed, ADMIN) as admin:
        assert (await admin.await_swap(await admin.trust())).is_good
    async with Forger(signed) as forger:
        assert await forger.said(await forger.write(swap(), STRANGER)) == "REFUSED NOT_TRUSTED"
    gateway = await Gateway(signed, "g1").start()
    signed.workers["g1"] = gateway.process  # ended as they are
    file, processes = signed.settings.trust, dict(signed.workers)
    good = file.read_text(encoding="utf-8")
    file.write_text(good.replace("[[key]]", "[[kye]]"), encoding="utf-8")
    await signed.publish(messages("iris")[0])
    for process in (processes["w1"], gateway.process):
        process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(30):  # w2 sees it by itself
        while len([1 for name in (*WORKERS, "g1") if '"trust.reload_rejected"' in signed.log(name)]) < len(WORKERS) + 1:
            await asyncio.sleep(0.1)
    new = lasting(STRANGER, [SigningRole.ROLLBACK], "new").model_copy(update={"deployments": frozenset({signed.name})})
    file.write_text(good + new.document(), encoding="utf-8")
    await signed.publish(messages("iris")[0])
    async with asyncio.timeout(60):
        while {worker.generation for worker in (await overview(signed.settings)).live} != {9}:
            await asyncio.sleep(0.1)
        async with httpx.AsyncClient(base_url=gateway.address) as caller:
            while (await caller.get(f"/v1/{signed.name}/history")).raise_for_status().json()["serving"] != 9:
                await asyncio.sleep(0.1)
    await signed.publish(messages("iris")[0])
    await signed.drained()
    assert {name: process.poll() for name, process in processes.items()} == dict.fromkeys(processes)
    audit = await signed.audit()
    assert audit.faults == {}
    assert {generation(message) for message in audit.predictions} == {1, 9}
    assert len(audit.predictions) == 3 * len(messages("iris")[0])
