"""From a file of scikit-learn and rows to an ONNX file and the report on it; in the child (child.py)."""

from typing import Any

import skl2onnx
import sklearn

from hotswap.errors import SwapCode, SwapError
from hotswap.packages.sklearn import converting, proof, thresholds
from hotswap.packages.sklearn.converting import Candidate
from hotswap.packages.sklearn.loading import load
from hotswap.packages.sklearn.proof import Proof
from hotswap.packages.sklearn.rows import SampleRows, read_rows


def work(order: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Convert, prove on the sample and at thresholds; return the report and the ONNX file. Raises SwapError."""
    model = load(order["model"], order["trusts_types"])
    rows = read_rows(model, order["columns"], order["rows"])
    edges = thresholds.rows_at(model, rows)
    candidate, proven, there = _best(model, rows, edges.rows, order["tolerance"])
    if proven.differ:
        raise SwapError(
            SwapCode.MODEL_UNSUPPORTED,
            f"the converted model differs from scikit-learn {sklearn.__version__} in {proven.differ} of "
            f"{proven.rows} rows of the sample, by more than {order['tolerance']:g}; {proven.example}: pass a larger "
            "--tolerance if such numbers are near enough, or replace the step that converts badly",
        )
    report = {
        "sklearn": sklearn.__version__,
        "skl2onnx": skl2onnx.__version__,
        "numbers": candidate.number,
        "sample": proven.facts(),
        "thresholds": there.facts() if there else None,
        "threshold_count": edges.tried,
        "threshold_total": edges.total,
        "left_out": candidate.left_out,
    }
    return report, candidate.content


def _best(
    model: Any, rows: SampleRows, edges: SampleRows | None, tolerance: float
) -> tuple[Candidate, Proof, Proof | None]:
    """Return the candidate that differs least, with its proofs on the sample and at thresholds: the first of equals."""
    expected = proof.answers(model, rows)
    expected_there = proof.answers(model, edges) if edges else []
    found: list[tuple[Candidate, Proof, Proof | None]] = []
    for candidate in converting.candidates(model, rows, len(expected)):
        there = proof.prove(candidate, edges, expected_there, tolerance) if edges else None
        found.append((candidate, proof.prove(candidate, rows, expected, tolerance), there))
        if not any(_differ(found[-1])):
            break
    return min(found, key=_differ)


def _differ(found: tuple[Candidate, Proof, Proof | None]) -> tuple[int, int]:
    _, proven, there = found
    return proven.differ, there.differ if there else 0
