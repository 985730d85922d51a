"""`python -m conformance.http [--seed N] [--cases N]`, in tests/: the gateway before clients that others have written.

schemathesis calls what the OpenAPI document says, and what it does not; tritonclient infers by the v2 protocol. Then
bodies come slowly, without end, cut off and broken, while rows are scored all the while: there must be no 5xx, no row
without its answer, no worker disturbed, and no memory kept.
"""

import argparse
import asyncio
import logging
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import tritonclient.http as triton

from conformance import senders
from harness.calls import Gateway
from harness.fleet import Deployment
from harness.proofs import recorded
from hotswap.local.kafka import LocalKafka

CASES = 60
_ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
_ARTIFACT_BYTES = 2 << 20
_KEPT_BYTES = 64 << 20
"""How much larger than before a gateway may be afterwards: what it has read once, and the allocator keeps."""
_LEFT_OUT = ("positive_data_acceptance",)  # the document cannot say which rows a proto takes
_TOO_LARGE = "413|closed"  # a sender that goes on cannot read the reply once the connection is closed
_PAUSES = "/pause$"
"""Left out, too: what is asked while a deployment is paused waits, as it should."""


class Run:
    """What was tried, and what went wrong."""

    def __init__(self, deployment: Deployment, gateway: Gateway, seed: int) -> None:
        self.deployment, self.gateway = deployment, gateway
        self.faults: list[str] = []
        self.scored = 0
        self._seed = seed
        self._process = psutil.Process(gateway.process.pid)

    def schemathesis(self, cases: int) -> None:
        """Make up calls by the OpenAPI document, at most so many a kind for each endpoint."""
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{self.gateway.address}/openapi.json"]
        command += ["--seed", str(self._seed), "--max-examples", str(cases), "--exclude-path-regex", _PAUSES]
        command += ["--exclude-checks", ",".join(_LEFT_OUT), "--request-timeout", "60", "--no-color"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.deployment.folder)
        counts = [re.search(pattern, done.stdout) for pattern in (r"(\d+) generated", r"Tested: (\d+)")]
        told = [int(count[1]) if count else 0 for count in counts]
        say(f"schemathesis: {told[0]:,} cases of {told[1]} operations")
        if done.returncode:
            self.faults.append(f"schemathesis:\n{done.stdout}{done.stderr}")

    def triton(self) -> None:
        """Infer as Triton's clients do, with values as JSON and as bytes, and compare with the plain API."""
        with httpx.Client(base_url=self.gateway.address) as plain:
            wanted = plain.post(f"/v1/{self.deployment.name}/predict", json=_ROW).json()["prediction"]
        client = triton.InferenceServerClient(f"127.0.0.1:{self.gateway.port}")
        name, calls = self.deployment.name, 0
        if not (client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)):
            self.faults.append("tritonclient: not ready")
        inputs = [one["name"] for one in client.get_model_metadata(name)["inputs"]]
        for is_binary in (False, True):
            given = [triton.InferInput(column, [2], "FP64") for column in inputs]
            for one, column in zip(given, inputs, strict=True):
                one.set_data_from_numpy(np.array([_ROW[column]] * 2), binary_data=is_binary)
            for kind in (False, True):
                asked = [triton.InferRequestedOutput(output, binary_data=kind) for output in wanted]
                reply = client.infer(name, given, outputs=asked, request_id="t")
                found = {output: reply.as_numpy(output).tolist() for output in wanted}
                species = [one.decode() if isinstance(one, bytes) else one for one in found.pop("species")]
                calls += 1
                if species != [wanted["species"]] * 2 or any(found[key] != [wanted[key]] * 2 for key in found):
                    self.faults.append(f"tritonclient: {found}, {species} instead of {wanted}")
                told = reply.get_response()["parameters"]
                if not told["sources"].startswith(f"{name}.requests-"):
                    self.faults.append("tritonclient: no sources")
                first = told["prediction_ids"].partition("..")[0].partition(",")[0]
                if (fetched := httpx.get(f"{self.gateway.address}/v1/{name}/predictions/{first}")).status_code != 200:
                    self.faults.append(f"tritonclient: {first} cannot be fetched: {fetched.text}")
        client.close()
        say(f"tritonclient: metadata and {calls} inferences, values as JSON and as bytes both ways")

    async def senders(self, cases: int) -> None:
        """Send bodies as no good client does, beside calls that are scored."""
        dice, is_over, port = random.Random(self._seed), asyncio.Event(), self.gateway.port
        calls = senders.calls(self.deployment.name)
        scoring = asyncio.create_task(self._score(is_over))
        dripping = asyncio.Event()
        slow = [asyncio.create_task(senders.slow(port, call, dripping)) for call in calls for _ in range(20)]
        self._tell(
            "endless bodies", [await senders.endless(port, call) for call in calls for _ in range(3)], _TOO_LARGE
        )
        for what, send in (("bodies cut off", senders.cut), ("broken bodies", senders.broken)):
            said: list[str] = []
            for _ in range(cases):
                said += await asyncio.gather(*(send(port, call, dice) for call in calls))
            self._tell(what, said, "left|2..|4..")
        dripping.set()
        self._tell("slow bodies meanwhile", await asyncio.gather(*slow), "2..|4..")
        is_over.set()
        await scoring
        say(f"scored meanwhile: {self.scored:,} rows, each with its answer")

    def _tell(self, what: str, said: list[str], good: str) -> None:
        say(f"{what}: " + ", ".join(f"{count} x {status}" for status, count in sorted(Counter(said).items())))
        if bad := {status for status in said if not re.fullmatch(good, status)}:
            self.faults.append(f"{what}: {', '.join(sorted(bad))}")

    async def _score(self, is_over: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=self.gateway.address, timeout=60) as client:
            while not is_over.is_set():
                reply = await client.post(f"/v1/{self.deployment.name}/predict", json=_ROW)
                self.scored += 1
                if reply.status_code != 200:
                    self.faults.append(f"beside it: {reply.status_code} {reply.text}")

    def memory(self) -> int:
        """Resident memory of the gateway, bytes."""
        return int(self._process.memory_info().rss)

    async def after(self, before: int) -> None:
        """Look at what is left: memory, temporary files, errors, the worker, and the log."""
        kept = self.memory() - before
        say(f"memory: {before >> 20} MiB before, {self.memory() >> 20} MiB after")
        if kept > _KEPT_BYTES:
            self.faults.append(f"the gateway keeps {kept:,} bytes")
        if errors := [line for line in self.gateway.lines() if line["level"] == "ERROR"]:
            self.faults.append(f"the gateway's log: {errors[:3]}")
        if any(worker.poll() is not None for worker in self.deployment.workers.values()):
            self.faults.append("a worker has ended")
        await self.deployment.drained()
        audit = await self.deployment.audit()
        say(f"requests: {audit.asked:,}, {len(audit.lost)} lost, {len(audit.twice)} answered twice")
        self.faults += [f"{what}: {where}" for what, where in audit.faults.items()]


async def run(folder: Path, seed: int, cases: int) -> list[str]:
    """Try all of it; return what went wrong."""
    with LocalKafka() as kafka:
        deployment = Deployment(kafka, folder, name="iris", max_artifact_bytes=_ARTIFACT_BYTES)
        await deployment.create()
        try:
            await deployment.serve("iris_gbm")
            gateway = await Gateway(deployment, "gateway", "--max-body", "1").start()
            try:
                tried = Run(deployment, gateway, seed)
                tried.triton()
                await asyncio.to_thread(tried.schemathesis, cases)
                before = tried.memory()
                await tried.senders(cases)
                await tried.after(before)
            finally:
                gateway.kill()
        finally:
            deployment.close()
    return tried.faults


def main() -> int:
    """Try all of it; exit with 1 if something went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is made up")
    parser.add_argument("--cases", type=int, default=CASES, help="for each endpoint, and each way to break a body")
    asked = parser.parse_args()
    say(f"seed {asked.seed}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with (
        tempfile.TemporaryDirectory(prefix="hotswap-conformance-") as folder,
        recorded("http-conformance", seed=asked.seed, length=asked.cases, full_length=CASES) as recording,
    ):
        faults = asyncio.run(run(Path(folder), asked.seed, asked.cases))
        recording.findings = len(faults)
    for fault in faults:
        say(f"http-conformance: {fault}")
    say(f"http-conformance: {'BROKEN' if faults else 'holds'}")
    return 1 if faults else 0


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
