"""Failpoints are off unless armed, are hit at the named pass, and each is in the code."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap import failpoints
from hotswap.errors import StartError
from hotswap.failpoints import NAMES, arm, failpoint

WORKER = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def _disarmed():
    yield
    failpoints._armed.clear()
    failpoints._passed.clear()


def test_a_failpoint_that_is_not_armed_does_nothing():
    for name in NAMES:
        failpoint(name)
    assert not failpoints._passed


def test_an_armed_failpoint_is_hit_at_the_named_pass_only():
    arm("cache.write=full@2,commit.sent=full")
    failpoint("cache.write")
    with pytest.raises(OSError, match="space") as caught:
        failpoint("cache.write")
    assert caught.value.errno == errno.ENOSPC
    failpoint("cache.write")


@pytest.mark.parametrize("text", ["commit.snt=kill", "commit.sent=explode", "commit.sent=kill@soon", "commit.sent"])
def test_an_unknown_failpoint_is_refused_with_the_known_names(text):
    with pytest.raises(StartError, match=r"HOTSWAP_FAILPOINTS: .*commit\.acknowledged"):
        arm(text)


def test_kill_kills_and_stop_stops_the_process():
    def run(action):
        program = f"from hotswap.failpoints import arm, failpoint; arm('open.read={action}'); failpoint('open.read')"
        return subprocess.Popen([sys.executable, "-c", program])

    killed = run("kill")
    assert killed.wait(20) == -signal.SIGKILL
    stopped = run("stop")
    _, status = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    stopped.send_signal(signal.SIGCONT)
    assert stopped.wait(20) == 0


def test_every_failpoint_is_passed_at_one_place_of_the_worker():
    sources = [path.read_text() for path in WORKER.rglob("*.py")]
    assert {name: sum(text.count(f'failpoint("{name}")') for text in sources) for name in NAMES} == dict.fromkeys(
        NAMES, 1
    )
