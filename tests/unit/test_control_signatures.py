"""A worker verifies before it folds, answers for nobody else's command, and reports by which trust file."""

import time
from types import SimpleNamespace

from fakes.client import MODEL, proto
from fakes.signing import CLUSTER, Log, lasting, trust_file
from hotswap.control import Control
from hotswap.settings import Settings
from hotswap.swap.command import PauseCommand, SwapCommand, TrustCommand
from hotswap.swap.timeline import Timeline
from hotswap.trust.keys import Signer
from hotswap.v1 import control_pb2 as wire

SIGNER = Signer.new()
SWAP = SwapCommand(command_id="mine", generation=1, model=MODEL, proto=proto())


class Reader:
    """A reader of a control topic with these records."""

    unreadable, damaged = 0, ""

    def __init__(self, *records):
        self._records = records

    async def cluster_id(self):
        return CLUSTER

    async def to_end(self):
        yield list(self._records)


def control_of(folder, *records):
    settings = Settings(deployment="d", trust=trust_file(folder, lasting(SIGNER)))
    return Control(settings=settings, timeline=Timeline(), reader=Reader(*records), writer=None)


def published(control):
    swaps = [wire.Status.FromString(value).swap for _, value, _ in control._outbox]
    return [(swap.command_id, swap.code) for swap in swaps]


async def test_a_replay_verifies_and_a_stranger_answers_for_nobody(tmp_path):
    log, now_ms = Log(), int(time.time() * 1000)
    control = control_of(
        tmp_path,
        log.record(TrustCommand(command_id="require"), SIGNER, at_ms=now_ms),
        log.record(SWAP, SIGNER, at_ms=now_ms),
        log.record(SWAP, at_ms=now_ms),
        log.record(PauseCommand(command_id="forged", is_paused=True), Signer.new(), at_ms=now_ms),
    )
    await control.replay()
    assert (control._timeline.newest, control._timeline.is_paused) == (1, False)
    assert published(control) == [("require", ""), ("forged", "NOT_TRUSTED")]


async def test_a_worker_reports_the_digest_of_its_trust_file(tmp_path):
    control = control_of(tmp_path)
    staging = SimpleNamespace(loaded=(), main=0, newest_scored=0, restarts=0)
    digest = control.fold.guard.trust_sha256
    assert len(digest) == 64
    assert control._worker_status(staging).trust_sha256 == digest
    assert control._warnings() == []


async def test_a_worker_without_a_trust_file_warns_once_the_log_may_require_signatures(tmp_path):
    record = Log().record(TrustCommand(command_id="require"), SIGNER)
    control = Control(settings=Settings(deployment="d"), timeline=Timeline(), reader=Reader(record), writer=None)
    await control.replay()
    (warning,) = control._warnings()
    assert "without HOTSWAP_TRUST that cannot be verified here" in warning
