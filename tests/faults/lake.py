"""`hotswap batch` on a real Spark cluster: each kind under fire, its answers beside a worker's, its cost, its growth.

    python -m faults.lake [--rows N] [--only proof|figures]

An executor is killed with SIGKILL once a quarter of the partitions is done, and a Spark worker once half is. Then each
row must be in the output once, and the answers to a sample of the rows, and the refusals, be those that a worker gives
the same rows on a real Kafka. The figures are of runs without faults: rows/s and CPU of all of Spark's processes, with
one executor and with two, beside h2o-genmodel in a UDF written by hand.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from faults.lake_cluster import Cluster, end
from faults.lake_figures import figures
from faults.lake_kinds import LAKES, requests, write
from faults.lake_runs import say, start
from harness.fleet import Deployment
from harness.kafkas import local_kafka
from harness.proofs import recorded
from hotswap.batch import Refusal
from hotswap.client.answers import Outgoing, Refused
from hotswap.client.change import Change
from hotswap.generation import Proto

ROWS = 1_000_000
SHARES = {"mojo": 1, "jar": 10, "spark": 10}
"""A kind is given the MOJO's rows, or a tenth of them."""
SAMPLE = 20_000


def main():
    """Run what is asked for; exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="faults.lake")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", choices=["proof", "figures"])
    parser.add_argument("--kind", choices=list(LAKES))
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    findings = []
    with (
        tempfile.TemporaryDirectory(prefix="hotswap-lake-") as folder,
        recorded("lake", seed=asked.seed, length=asked.rows, full_length=ROWS) as recording,
    ):
        place = Path(folder)
        if asked.only != "figures":
            for kind in [asked.kind] if asked.kind else LAKES:
                findings += prove(kind, asked.rows // SHARES[kind], place / kind, asked.seed)
        if asked.only != "proof":
            figures(asked.rows, place / "figures", asked.seed)
        recording.findings = len(findings)
    for finding in findings:
        say(f"FOUND: {finding}")
    return bool(findings)


def prove(kind, count, folder, seed):
    """Score a lake of one kind while an executor and a worker are killed; return what is wrong with the output."""
    folder.mkdir()
    table = write(kind, count, folder / "in", seed)
    packed = LAKES[kind].pack(folder / "package")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(folder))
        batch = start(folder, packed.path, cluster.url)
        stack.callback(end, batch)
        strikes = strike(batch, cluster, folder / "out")
        stdout, stderr = batch.communicate()
    if batch.returncode not in (0, 1) or not stdout:
        return [f"{kind}: the command ended with {batch.returncode}: {stderr[-2000:]}"]
    report = json.loads(stdout)
    findings = [f"{kind}: {said}" for said in (*strikes[1], *check_rows(folder / "out", count, report))]
    findings += [f"{kind}: {said}" for said in asyncio.run(check_sample(folder, packed, table, kind, seed))]
    facts = {name: report[name] for name in ("rows", "answered", "refused", "partitions", "seconds")}
    say(f"{kind}: {facts}; struck {strikes[0]}; {len(findings)} findings")
    return findings


def strike(batch, cluster, output):
    """Kill an executor once a quarter of the partitions is done, and a worker once half is, while both score.

    Return what was struck, and what was not.
    """
    struck = []
    while batch.poll() is None and len(struck) < 2:
        done, of = len(list(output.glob("partition=*/_SUCCESS"))), partitions_of(output)
        if of and done >= (len(struck) + 1) * of // 4:
            scoring = cluster.scoring()
            if not struck and scoring:
                scoring[0].kill()
                struck.append(f"an executor after {done} of {of} partitions")
            elif struck and cluster.kill_worker(scoring):
                struck.append(f"a worker after {done} of {of} partitions")
        time.sleep(0.05)
    return struck, [] if len(struck) == 2 else [f"it was over before all was struck: {struck}"]


def partitions_of(output):
    """Return how many partitions an output is to have; 0: it is not planned yet."""
    try:
        return len(json.loads((output / "_hotswap.json").read_text())["partitions"])
    except (OSError, ValueError):
        return 0


def check_rows(output, count, report):
    """Return what is wrong with the rows of an output: each must be there once."""
    rows = dataset.dataset(output, format="parquet", partitioning="hive").to_table(columns=["id", "refusal_code"])
    ids = np.sort(rows["id"].to_numpy())
    if not np.array_equal(ids, np.arange(count)):
        yield f"{len(ids)} rows of {count}, {len(np.unique(ids))} of them different"
    refused = count - rows["refusal_code"].null_count
    if (report["rows"], report["rows"] - report["answered"]) != (count, refused):
        yield f"it reported {report}, but the output has {refused} refused rows"


async def check_sample(folder, packed, table, kind, seed):
    """Return the differences between the output and the answers of a worker to a sample of the same rows."""
    out = dataset.dataset(folder / "out", format="parquet", partitioning="hive")
    rows = out.to_table(columns=["id", "answer_message", "refusal_code", "refusal_reason"])
    chance = np.random.default_rng(seed)
    some = chance.choice(len(rows), min(len(rows), SAMPLE // SHARES[kind]), replace=False)
    is_refused = np.flatnonzero(rows["refusal_code"].is_valid().to_numpy())[:500]
    sample = rows.take(pa.array(np.union1d(some, is_refused)))
    (operation,) = packed.schema.operations.values()
    ids = sample["id"].to_numpy()
    order = table.take(pc.sort_indices(table["id"]))
    values = [message.SerializeToString() for message in requests(order, ids, operation)]
    wrong = 0
    for row, answer in zip(sample.to_pylist(), await stream(folder, packed, values), strict=True):
        told = (row["answer_message"], row["refusal_code"], row["refusal_reason"])
        wrong += told != answer
    say(f"{kind}: {len(values)} rows compared with a worker's answers, {len(is_refused)} of them refused")
    return [f"{wrong} of {len(values)} rows have other answers than a worker's"] if wrong else []


async def stream(folder, packed, values):
    """Return what a worker answers on a real Kafka: (message, code, reason) for each request."""
    (folder / "stream").mkdir()
    with local_kafka() as kafka:
        deployment = await Deployment(kafka, folder / "stream").create()
        try:
            deployment.start()
            async with deployment.client() as client:
                change = Change(
                    model=packed.model,
                    kind=packed.kind,
                    proto=Proto.inline(packed.proto),
                    configuration=packed.configuration,
                )
                receipt = await client.swap(change)
                answer = await client.await_swap(receipt, timeout_s=120)
                assert answer.is_good, (answer, deployment.log()[-3000:])
                return [told(one) async for one in client.predict(map(Outgoing, values))]
        finally:
            deployment.close()


def told(answer):
    if isinstance(answer, Refused | Refusal):
        return None, str(answer.code), answer.message
    return answer.value, None, None


if __name__ == "__main__":
    sys.exit(main())
