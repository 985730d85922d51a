"""README.md's way from a model of scikit-learn to a stream runs as it is printed."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.fleet import ROOT
from harness.kafkas import of_prepared_classes

pytestmark = [pytest.mark.onnx, pytest.mark.sklearn]


def test_a_model_of_scikit_learn_scores_a_stream_after_ten_lines(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    tools = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"} | of_prepared_classes()
    environment["HOTSWAP_CACHE"] = str(tmp_path / "cache")
    with (tmp_path / "dev.log").open("wb") as log:
        dev = subprocess.Popen([tools / "hotswap", "dev", "flowers"], cwd=tmp_path, env=environment, stderr=log)
    try:
        while "Ctrl-C here stops everything" not in (told := (tmp_path / "dev.log").read_text()):
            assert dev.poll() is None, told
        exports = [line.strip() for line in told.splitlines() if line.startswith("    export ")]
        done = subprocess.run(
            ["bash", "-e", "-c", "\n".join([*exports, lines])], cwd=tmp_path, env=environment, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout, done.stderr, (tmp_path / "dev.log").read_text()[-2_000:])
    finally:
        dev.terminate()
        assert dev.wait(30) == 0

    joblib, pandas = pytest.importorskip("joblib"), pytest.importorskip("pandas")
    flowers = joblib.load(tmp_path / "flowers.joblib").predict(pandas.read_csv(tmp_path / "flowers.csv"))
    rows = list(csv.DictReader(io.StringIO(done.stdout[done.stdout.index("row,generation") :])))
    assert [row["label"] for row in rows] == [str(label) for label in flowers]
    assert len(rows) == len(flowers) == 150
