"""A gateway signs the commands of its callers with its own key, and takes a trust file that has changed."""

import asyncio

import pytest

from fakes.kafka_logs import CLUSTER
from fakes.signing import lasting, trust_file
from hotswap.client.client import Client
from hotswap.commands import encode_command
from hotswap.swap.command import PauseCommand
from hotswap.trust.file import Trust
from hotswap.trust.keys import Signer

KEY, OTHER = Signer.new(), Signer.new()


@pytest.fixture
def settings(settings, tmp_path):
    KEY.write(tmp_path / "key.pem")
    return settings.model_copy(update={"trust": trust_file(tmp_path, lasting(KEY)), "sign_with": tmp_path / "key.pem"})


async def test_commands_of_callers_are_signed_until_the_gateways_key_is_revoked(gateway, cluster, settings):
    async with gateway() as client, Client(settings) as admin:
        cluster.worker.speak(trust_sha256=Trust.read(settings.trust).sha256)
        await admin.trust()
        assert (await client.post("/v1/d/pause")).status_code == 200
        await admin.trust(revoked=[KEY.id])
        reply = await client.post("/v1/d/resume")
        assert (reply.status_code, reply.json()["code"]) == (422, "NOT_TRUSTED")
        assert f"key {KEY.id} (ci) was revoked" in reply.json()["detail"]


async def test_a_trust_file_that_lets_in_a_command_of_the_log_is_taken_while_what_serves_goes_on(
    gateway, cluster, settings, tmp_path
):
    async with gateway() as client, Client(settings) as admin:
        cluster.worker.speak(trust_sha256=Trust.read(settings.trust).sha256)
        await admin.trust()
        value = encode_command("d", PauseCommand(command_id="others", is_paused=True))
        cluster.append("d.control", value, headers=OTHER.headers(value, topic="d.control", cluster=CLUSTER))
        last = await read(client, lambda told: told["commands"][0]["command_id"] == "others")
        assert (last["is_paused"], last["commands"][0]["code"]) == (False, "NOT_TRUSTED")
        trust_file(tmp_path, lasting(KEY), lasting(OTHER, name="other"))
        client.deployment.look()
        last = await read(client, lambda told: told["is_paused"])
        assert last["commands"][0]["verdict"] == "APPLIED"
        told = [(one["offset"], one["key"], one["author"]) for one in last["commands"]]
        assert told == [(2, OTHER.id, "other"), (1, KEY.id, "ci"), (0, KEY.id, "ci")]
        assert (await client.post("/v1/d/resume")).status_code == 200


async def test_a_trust_file_that_cannot_be_taken_changes_nothing_for_callers(gateway, cluster, settings, tmp_path):
    async with gateway() as client, Client(settings) as admin:
        cluster.worker.speak(trust_sha256=Trust.read(settings.trust).sha256)
        await admin.trust()
        for content, why in (("[[key]]", "Field required"), (lasting(OTHER).document(), "would be refused")):
            (tmp_path / "trust.toml").write_text(content)
            client.deployment.look()
            async with asyncio.timeout(10):
                while why not in client.deployment.guard.kept:
                    await asyncio.sleep(0)
            assert (await client.post("/v1/d/pause")).status_code == 200


async def read(client, holds):
    """Return the history once something holds of it; something serves all the while."""
    async with asyncio.timeout(10):
        while not holds(told := (await client.get("/v1/d/history")).json()):
            assert (client.deployment.is_serving, told["serving"]) == (True, 1)
            await asyncio.sleep(0)
    return told
