"""The command line and the client with all hidden that Windows lacks, against a real Kafka and a worker on Linux."""

import asyncio
import json
import os
import subprocess
import sys

from fakes.examples import EXAMPLES
from harness.command import variables
from harness.fleet import ROOT

ELSEWHERE = ROOT / "tests" / "fakes" / "elsewhere.py"
MODELS = EXAMPLES / "models"
PROTO = EXAMPLES / "protos" / "iris.proto"


async def test_a_model_is_swapped_rows_are_predicted_and_the_status_is_read(deployment, tmp_path):
    deployment.start()
    name = deployment.name
    swapped = await windows(deployment, "swap", name, "--model", MODELS / "iris_gbm.zip", "--proto", PROTO)
    assert "SERVING" in swapped
    assert len((await windows(deployment, "predict", name, EXAMPLES / "data" / "iris.csv")).splitlines()) == 151
    (status,) = json.loads(await windows(deployment, "status", name, "--json"))
    assert (status["accepted"], status["lag"], status["problems"]) == (1, 0, [])


async def windows(deployment, *words):
    """Run the command line as if there were what Windows has; return what it prints."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, ELSEWHERE, "win32", *map(str, words)],
        env=os.environ | variables(deployment) | {"PYTHONPATH": str(ROOT / "worker")},
        capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2_000:]
    return done.stdout
