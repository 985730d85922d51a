"""README.md's way from a model of scikit-learn to a stream runs as it is printed."""

import csv
import io
from pathlib import Path

import pytest

from harness.readme import run_printed

pytestmark = [pytest.mark.onnx, pytest.mark.sklearn]


def test_a_model_of_scikit_learn_scores_a_stream_after_ten_lines(tmp_path: Path) -> None:
    printed = run_printed("From scikit-learn to a stream", "flowers", tmp_path)

    joblib, pandas = pytest.importorskip("joblib"), pytest.importorskip("pandas")
    flowers = joblib.load(tmp_path / "flowers.joblib").predict(pandas.read_csv(tmp_path / "flowers.csv"))
    rows = list(csv.DictReader(io.StringIO(printed[printed.index("row,generation") :])))
    assert [row["label"] for row in rows] == [str(label) for label in flowers]
    assert len(rows) == len(flowers) == 150
