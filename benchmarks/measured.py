"""What figures were measured on, when, and of which commit."""

import datetime as dt
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

Machine = dict[str, str | int | None]
PYTHONS = ("confluent-kafka", "lightgbm", "onnxruntime", "xgboost-cpu")
"""What the models are scored with that a library of Python scores, and what the consumer by hand is made of."""


def machine(*more: str) -> Machine:
    """What the figures were measured on and with, and when; `more` are packages beside those of every part."""
    names = ("aiokafka", "protobuf", "jpype1", "numpy", *more)
    return {
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "kafka": "4.3.1, one node on the same cores, Java options of its start script",
        **{name: importlib.metadata.version(name) for name in names},
    }


def commit_of(checkout: Path) -> str:
    """The commit that is checked out there."""
    git = ["git", "rev-parse", "--short=7", "HEAD"]
    return subprocess.run(git, cwd=checkout, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
