"""What the rows of a lake cost on a cluster: with one executor, with two, and with a UDF written by hand."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from faults.lake_cluster import HOME, Cluster, Meter
from faults.lake_kinds import LAKES, write
from faults.lake_runs import CONF, environment, say, start
from harness.fleet import EXAMPLES, ROOT
from hotswap.local.jvm import fetch_jars

MODEL = EXAMPLES / "models" / "gbm_50x5.zip"
_SOURCE = ROOT / "benchmarks" / "java" / "lake" / "GenmodelUdf.java"


def figures(count, folder, seed):
    """Print rows/s, and the CPU of all of Spark's processes, the driver's and the hosts' included."""
    folder.mkdir()
    write("mojo", count, folder / "in", seed)
    package = LAKES["mojo"].pack(folder / "package").path
    runs = {
        "1 executor": (1, lambda *where: start(folder, package, *where[:2], conf=where[2])),
        "2 executors": (2, lambda *where: start(folder, package, *where[:2], conf=where[2])),
    }
    if shutil.which("javac"):
        jar = compile_udf(folder / "classes")
        runs["genmodel in a UDF by hand, 1 executor"] = (1, lambda *where: start_by_hand(folder, jar, *where))
        runs["genmodel in a UDF by hand, 2 executors"] = (2, lambda *where: start_by_hand(folder, jar, *where))
    for name, (cores, begin) in runs.items():
        place = folder / f"cluster{name}".replace(" ", "-")
        place.mkdir()
        with Cluster(place) as cluster:
            job = begin(cluster.url, f"out-{name}", (f"spark.cores.max={cores}",))
            meter = Meter([*cluster.workers, job])
            meter.start()
            stdout, stderr = job.communicate()
            used = meter.stop()
        assert stdout, stderr[-3000:]
        seconds = json.loads(stdout)["seconds"]
        cost = f"{count / seconds:,.0f} rows/s ({seconds} s), {used / count * 1e6:.1f} µs of CPU a row"
        say(f"{name}: {count:,} rows, {cost}")


def compile_udf(folder):
    """Compile the UDF; return its jar."""
    folder.mkdir()
    classpath = ":".join([f"{HOME}/jars/*", *map(str, fetch_jars("h2o-genmodel"))])
    subprocess.run(["javac", "--release", "17", "-Xlint:-options", "-cp", classpath, "-d", folder, _SOURCE], check=True)
    return Path(shutil.make_archive(str(folder), "zip", folder)).rename(folder.with_suffix(".jar"))


def start_by_hand(folder, jar, master, output, conf):
    """Start the job by hand on a cluster."""
    jars = ",".join(map(str, [jar, *fetch_jars("h2o-genmodel")]))
    given = {"master": master, "input": str(folder / "in"), "output": str(folder / output), "model": str(MODEL)}
    given["conf"] = dict(pair.split("=", 1) for pair in (*CONF, *conf, f"spark.jars={jars}"))
    return subprocess.Popen(
        [sys.executable, "-m", "faults.lake_by_hand", json.dumps(given)],
        env=environment(folder) | {"PYSPARK_PYTHON": sys.executable},
        cwd=ROOT / "tests",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
