"""Starts `hotswap batch` on a cluster, and the job that somebody would write by hand."""

import os
import subprocess
import sys

from harness.fleet import ROOT
from hotswap.local.jvm import find_java

CONF = ("spark.executor.memory=1g", "spark.executor.cores=1", "spark.driver.host=127.0.0.1")


def start(folder, package, master, output="out", *, conf=(), given="in"):
    """Start `hotswap batch` on a cluster."""
    words = ("batch", "churn", "--input", folder / given, "--output", folder / output, "--package", package, "--json")
    more = [word for pair in (*CONF, *conf) for word in ("--conf", pair)]
    return subprocess.Popen(
        [sys.executable, "-m", "hotswap", *map(str, words), "--master", master, *more],
        env=environment(folder),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def environment(folder):
    """Return the variables of a command whose caches are in that folder."""
    home = str(find_java().home)
    return os.environ | {"HOTSWAP_CACHE": str(folder / "cache"), "JAVA_HOME": home, "SPARK_LOCAL_IP": "127.0.0.1"}


def say(line):
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
