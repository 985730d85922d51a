"""A trust file that changes while a worker runs: taken, or named and left, or the worker starts again with it."""

import asyncio
import logging
import os
import signal
from functools import partial
from types import SimpleNamespace

import pytest

from fakes.kafka_logs import CLUSTER, FakeReader
from fakes.signing import lasting, trust_file
from hotswap import logs
from hotswap.commands import encode_command
from hotswap.errors import Doubt
from hotswap.local.signals import listen_for_changes, read_log_level
from hotswap.renewing import Renewing
from hotswap.swap.command import PauseCommand, TrustCommand
from hotswap.trust.fold import Fold
from hotswap.trust.keys import Signer

CI, OPS, NEW = Signer.new(), Signer.new(), Signer.new()
KEYS = (lasting(CI),)


class Running:
    """What a worker has of its trust file: a log with three commands, of which the key `ops` gave the last."""

    def __init__(self, cluster, settings, folder):
        self.folder = folder
        settings = settings.model_copy(update={"trust": self.write(*KEYS)})
        self.fold = Fold.of(settings)
        self.fold.guard.cluster, topic = CLUSTER, settings.topics.control
        for command, signer in (
            (TrustCommand(command_id="require"), CI),
            (self.pause("a"), CI),
            (self.pause("b"), OPS),
        ):
            value = encode_command("d", command)
            cluster.append(topic, value, headers=signer.headers(value, topic=topic, cluster=CLUSTER))
            self.fold.receive(cluster.topics[topic][0][-1])
        self.renewing = Renewing(settings, lambda: self.fold, "worker.restarting")

    @staticmethod
    def pause(command_id):
        return PauseCommand(command_id=command_id, is_paused=True)

    def write(self, *keys):
        return trust_file(self.folder, *keys)

    async def looks(self):
        """Look at the file once; return whether the worker has to start again."""
        return await self.renewing._is_over(self.folder / "trust.toml")

    @property
    def sha256(self):
        return self.fold.guard.trust_sha256


@pytest.fixture
def running(cluster, settings, tmp_path, monkeypatch):
    monkeypatch.setattr("hotswap.renewing.LogReader", partial(FakeReader, cluster))
    return Running(cluster, settings, tmp_path)


async def test_a_key_that_is_added_is_taken_without_a_restart(running):
    before = running.sha256
    assert not await running.looks()
    assert running.sha256 == before
    running.write(*KEYS, lasting(NEW, name="new"))
    assert not await running.looks()
    assert (running.sha256 != before, running.fold.guard.kept, running.fold.guard.pending) == (True, "", None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[[key]]", "[[key]] 1: name: Field required"),
        ("", "key: Field required"),
        (lasting(NEW).document(), "command require at offset 0, which was accepted, would be refused: NOT_TRUSTED"),
    ],
)
async def test_a_file_that_cannot_be_taken_is_named_once_and_warned_of_until_it_is_put_right(
    running, caplog, content, why
):
    before = running.sha256
    (running.folder / "trust.toml").write_text(content)
    for _ in range(2):
        assert not await running.looks()
        assert why in running.fold.guard.warning
    assert [record.message for record in caplog.records] == ["trust.reload_rejected"]
    running.write(*KEYS)
    assert not await running.looks()
    assert (running.sha256, running.fold.guard.warning) == (before, "")


async def test_a_file_that_was_put_right_and_is_wrong_again_is_named_again(running, caplog):
    for _ in range(2):
        running.write(lasting(NEW))
        assert not await running.looks()
        assert "would be refused" in running.fold.guard.warning
        running.write(*KEYS)
        assert not await running.looks()
        assert running.fold.guard.warning == ""
    assert [record.message for record in caplog.records] == ["trust.reload_rejected"] * 2


async def test_a_file_that_cannot_be_taken_is_still_named_after_the_log_was_folded_anew(running):
    running.write(lasting(NEW))
    assert not await running.looks()
    why, guard = running.fold.guard.warning, running.fold.guard.anew()
    running.fold.guard = guard
    assert not await running.looks()
    assert guard.warning == why != ""


async def test_a_file_that_lets_in_a_command_of_the_log_ends_the_watch_for_a_restart_with_it(running, caplog):
    watching = asyncio.create_task(running.renewing.run())
    running.write(*KEYS, lasting(OPS, name="ops"))
    running.renewing.look()
    await asyncio.wait_for(watching, 5)
    assert set(running.fold.guard.pending.keys) == {CI.id, OPS.id}
    assert [(record.message, record.why) for record in caplog.records] == [
        ("worker.restarting", "only one of its trust files accepts command b at offset 2")
    ]


async def test_while_kafka_is_away_the_file_before_stays_and_it_is_looked_at_again(running, monkeypatch):
    async def away(_):
        raise Doubt("no answer")

    running.write(*KEYS, lasting(NEW, name="new"))
    before = running.sha256
    with monkeypatch.context() as patch:
        patch.setattr(FakeReader, "start", away)
        assert not await running.looks()
    assert running.sha256 == before
    assert not await running.looks()
    assert running.sha256 != before


async def test_at_sighup_the_log_level_and_each_trust_file_are_looked_at_and_nothing_stops(monkeypatch):
    looked, is_done = [], asyncio.Event()
    monkeypatch.setattr("hotswap.local.signals.read_log_level", lambda: looked.append("log level"))
    first = SimpleNamespace(look=lambda: looked.append("first"))
    listen_for_changes(lambda: [first, SimpleNamespace(look=is_done.set)])
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.wait_for(is_done.wait(), 5)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
    assert looked == ["log level", "first"]


def test_the_log_level_is_read_again_from_a_file_of_settings_unless_that_is_wrong(tmp_path, monkeypatch):
    file = tmp_path / "hotswap.toml"
    monkeypatch.setenv("HOTSWAP_CONFIG_FILE", str(file))
    logs.set_up(level="INFO")
    found = []
    for text in ('log_level = "DEBUG"', 'log_level = "LOUD"', "log_level =", 'log_level = "ERROR"'):
        file.write_text(text)
        read_log_level()
        found.append(logging.getLevelName(logging.getLogger().handlers[0].level))
    assert found == ["DEBUG", "DEBUG", "DEBUG", "ERROR"]
