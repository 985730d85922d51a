"""The model of a benchmark as a service of BentoML.

MODEL_KIND=xgboost MODEL_FILE=/path/to/it bentoml serve server_bento:Scorer
"""

import os
from pathlib import Path
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType
from python_libraries import scorer_of

from hotswap.local.lifeline import die_with

Rows = Annotated[np.ndarray, DType("float32")]


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, traffic={"max_concurrency": 64})  # type: ignore[untyped-decorator]
class Scorer:
    """A model, loaded once."""

    def __init__(self) -> None:
        die_with(os.getppid())  # BentoML starts workers in sessions of their own
        self._score = scorer_of(os.environ["MODEL_KIND"], Path(os.environ["MODEL_FILE"]))

    @bentoml.api  # type: ignore[untyped-decorator]
    def score(self, rows: Rows) -> Rows:
        """Return the scores of rows."""
        scores: Any = self._score(rows)
        return np.asarray(scores, np.float32)
