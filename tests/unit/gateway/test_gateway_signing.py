"""A gateway signs the commands of its callers with its own key, and says why one is refused."""

import pytest

from fakes.signing import lasting, trust_file
from hotswap.client.client import Client
from hotswap.trust.file import Trust
from hotswap.trust.keys import Signer

KEY = Signer.new()


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
