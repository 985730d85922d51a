"""The GBM of the benchmarks of Python's libraries: 50 trees of depth 5 on 12 numbers, a binary classifier.

    .venv-train/bin/python benchmarks/gbm.py          trains scikit-learn's, converted to ONNX by skl2onnx

Those of xgboost and lightgbm are trained where they are measured (python_models.py).
"""

from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = [f"x{place}" for place in range(12)]
TREES, DEPTH, SEED = 50, 5, 7
GBM = Path(__file__).parent / "models" / "gbm_50x5.onnx"
_LABELS = np.array(["no", "yes"])
_TRAINED = 10_000


def samples() -> tuple[Any, Any]:
    """Return rows that a GBM is trained on, and whether each is a "yes", 0 or 1."""
    draw = np.random.default_rng(SEED)
    matrix = draw.normal(size=(_TRAINED, len(COLUMNS))).astype(np.float32)
    truth = matrix[:, 0] * matrix[:, 1] + np.sin(2 * matrix[:, 2]) + 0.5 * matrix[:, 3:].sum(axis=1)
    return matrix, (truth + draw.normal(size=_TRAINED) > 0).astype(int)


def main() -> None:
    """Train and write the ONNX model."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - the benchmarks run without them
    from sklearn.ensemble import GradientBoostingClassifier  # noqa: PLC0415

    matrix, is_yes = samples()
    model = GradientBoostingClassifier(n_estimators=TREES, max_depth=DEPTH, random_state=SEED)
    model.fit(matrix, _LABELS[is_yes])
    converted = to_onnx(model, matrix[:1], options={"zipmap": False})
    GBM.parent.mkdir(exist_ok=True)
    GBM.write_bytes(converted.SerializeToString())


if __name__ == "__main__":
    main()
