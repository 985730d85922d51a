"""A forked worker ends as one that a command starts."""

import os
import signal
import subprocess
import sys

import pytest

from harness.forked import Forked

SOURCES = {
    "ends": "import sys; print(sys.argv[1:], file=sys.stderr)",
    "exits": "raise SystemExit(3)",
    "raises": "import os; raise ValueError(os.environ['SAID'])",
    "is killed": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "has nothing to read": "import os; raise SystemExit(len(os.read(0, 9)))",
}


@pytest.mark.parametrize("how", SOURCES)
def test_it_has_the_same_end_and_says_the_same(tmp_path, how):
    words, environment = ["a", "b c"], os.environ | {"SAID": "so"}
    command = [sys.executable, "-c", SOURCES[how], *words]
    started = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    forked = Forked(SOURCES[how], words, environment, tmp_path / "log")

    assert forked.wait(30) == forked.poll() == started.returncode
    assert (tmp_path / "log").read_bytes().splitlines()[-1:] == started.stderr.splitlines()[-1:]


def test_it_gets_signals_until_it_has_ended(tmp_path):
    forked = Forked("import time; time.sleep(600)", [], os.environ, tmp_path / "log")
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(0)
    assert forked.poll() is None
    forked.terminate()
    assert forked.wait(30) == -signal.SIGTERM
    forked.kill()
