"""Vectors in and out: an embedding's main components, and the anchors that are nearest to it."""

from pathlib import Path
from typing import Any

import numpy as np


def load(folder: Path) -> Any:
    """Return the projection, [8, 3], and the anchors, [12, 3]; the file is mapped, not read."""
    return np.load(folder / "projection.npy", mmap_mode="r"), np.load(folder / "anchors.npy", mmap_mode="r")


def predict(model: Any, columns: dict[str, Any]) -> dict[str, Any]:
    """Return each vector's components, its nearest anchors and its norm; a short vector ends in zeros."""
    projection, anchors = model
    rows = np.zeros((len(columns["embedding"]), len(projection)))
    for row, vector in zip(rows, columns["embedding"], strict=True):
        row[: len(vector)] = vector[: len(row)]
    rows = np.nan_to_num(np.clip(rows, -1e6, 1e6))
    components = (rows[:, :, None] * projection).sum(axis=1)
    distances = ((components[:, None] - anchors) ** 2).sum(axis=2)
    return {
        "components": components,
        "nearest": np.argsort(distances, axis=1, kind="stable")[:, :2].tolist(),
        "norm": np.sqrt((rows**2).sum(axis=1)),
    }
