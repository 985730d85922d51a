"""A console names a trust file that cannot be taken, and shows the log as the one that is taken verifies it."""

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


async def test_a_trust_file_that_changes_is_named_while_it_cannot_be_taken_and_else_the_page_is_by_it(
    console, cluster, settings, tmp_path
):
    async with console() as browser, Client(settings) as admin:
        cluster.worker.speak(trust_sha256=Trust.read(settings.trust).sha256)
        await admin.trust()
        value = encode_command("d", PauseCommand(command_id="others", is_paused=True))
        cluster.append("d.control", value, headers=OTHER.headers(value, topic="d.control", cluster=CLUSTER))
        kept, paused = "which was accepted, would be refused", "no partition takes a batch"
        for keys, is_kept, is_paused in (([OTHER], True, False), ([KEY], False, False), ([KEY, OTHER], False, True)):
            trust_file(tmp_path, *(lasting(key, name=key.id) for key in keys))
            browser.deployment.look()
            async with asyncio.timeout(10):
                while [text in (await browser.get("/d/d")).text for text in (kept, paused)] != [is_kept, is_paused]:
                    await asyncio.sleep(0)
