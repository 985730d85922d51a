"""A host starts at whatever priority its worker runs: it may lower its own, and never has to raise it."""

import subprocess
import sys

from harness.fleet import EXAMPLES


def test_a_worker_of_the_lowest_priority_can_start_a_host(tmp_path):
    row = tmp_path / "row.csv"
    row.write_text("sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n")
    model, proto = EXAMPLES / "models" / "iris_gbm.zip", EXAMPLES / "protos" / "iris.proto"
    scored = (sys.executable, "-m", "hotswap", "score", row, "--model", model, "--proto", proto)
    done = subprocess.run(["nice", "-n", "19", *scored], capture_output=True, text=True, check=False)
    assert (done.returncode, "setosa" in done.stdout) == (0, True), done.stderr
