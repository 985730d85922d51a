"""The same pipeline as a job on a Spark cluster, here `local[2]`: Spark's own predictions, as the model host's are."""

import json
import os
import subprocess
import sys
import zipfile

import pytest

from harness.fleet import ROOT
from harness.lake import QUICK
from harness.spark_lab import MODELS, read_rows
from hotswap.local.jvm import find_java

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(
        not find_java().has_module("jdk.incubator.vector"),
        reason="PySpark's own launcher needs a whole Java, and this one lacks the module jdk.incubator.vector",
    ),
]


JOBS = """
import json, runpy, sys
for line in sys.stdin:
    sys.argv[1:] = json.loads(line)
    runpy.run_module("hotswap.runtimes.spark.job", run_name="__main__")
"""
"""Runs the job for each line, its arguments, one after the other: both find the session that the first has started."""


def test_a_job_and_a_stream_give_exactly_the_same_predictions_as_the_host(tmp_path):
    rows, expected = read_rows("churn", "input"), read_rows("churn", "pred")
    with zipfile.ZipFile(MODELS / "churn.zip") as archive:
        archive.extractall(tmp_path)
    given = tmp_path / "given"
    given.mkdir()
    (given / "rows.json").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    made = {tmp_path / "made": [], tmp_path / "streamed": ["--stream", str(tmp_path / "checkpoint")]}
    jobs = [[str(tmp_path / "model"), str(given), str(folder), *more] for folder, more in made.items()]
    done = subprocess.run(
        [sys.executable, "-c", JOBS],
        input="\n".join(map(json.dumps, jobs)),
        env=os.environ
        | {
            "JAVA_HOME": str(find_java().library.parents[2]),
            "JDK_JAVA_OPTIONS": QUICK,
            "PYSPARK_SUBMIT_ARGS": "--master local[2] pyspark-shell",
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    for folder in made:
        by_job = [json.loads(line) for file in folder.glob("part-*") for line in file.read_text().splitlines()]
        by_row = {tuple(row[name] for name in rows[0]): row for row in by_job}
        assert len(by_job) == len(rows)
        for row, answer in zip(rows, expected, strict=True):  # what a host answers, too: test_spark.py
            job = by_row[tuple(row.values())]
            assert {
                "prediction": job["prediction"],
                "churn": job["churn"],
                "probability": job["probability"]["values"],
                "rawPrediction": job["rawPrediction"]["values"],
            } == {name: answer[name] for name in ("prediction", "churn", "probability", "rawPrediction")}
