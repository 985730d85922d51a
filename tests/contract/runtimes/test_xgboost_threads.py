"""Models of XGBoost take no more cores than their host is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.local.cores import cores_at_hand

pytestmark = pytest.mark.xgboost
MODELS = Path(__file__).parents[2] / "models" / "xgboost"


@pytest.mark.skipif(sys.platform != "linux" or cores_at_hand() < 2, reason="there is one core, or no /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_one_thread_loads_and_scores_unless_the_option_allows_more(threads: int) -> None:
    script = f"""
import os
from pathlib import Path
from threading import Thread
import numpy as np
from hotswap.codec.values import Table
from hotswap.generation import Configuration
from hotswap.runtimes.xgboost import runtime
runtime.prepare()
before = len(os.listdir("/proc/self/task"))
options = {{"threads": "2"}} if {threads} > 1 else {{}}
model = runtime.load(Path({str(MODELS / "churn.ubj")!r}), Configuration(runtime=options))
scoring = Thread(target=model.score, args=[Table(np.zeros((100_000, 4)))])
scoring.start()
scoring.join()
while os.path.exists(f"/proc/self/task/{{scoring.native_id}}"):
    pass  # it has ended, and the kernel is about to forget it
print(1 + len(os.listdir("/proc/self/task")) - before)
"""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}

    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert (int(told.stdout) > 1) is (threads > 1)
