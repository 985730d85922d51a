"""Our own walk over a forest's trees scores exactly, to the bit, as H2O's score0 does."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from fakes.examples import EXAMPLES

TESTS = Path(__file__).parents[2]
FORESTS = ("gbm", "drf", "isolationforest")


def algorithm_of(mojo):
    with zipfile.ZipFile(mojo) as packed:
        settings = dict(
            line.split(" = ", 1) for line in packed.read("model.ini").decode().splitlines() if " = " in line
        )
    return settings["algo"]


def forests():
    found = [*(EXAMPLES / "models").glob("*.zip"), *(TESTS / "models" / "h2o").glob("*.zip")]
    return sorted(mojo for mojo in found if algorithm_of(mojo) in FORESTS)


def compared(*words):
    """For each MOJO: whether we walk its trees, and how many of 10,000 rows score differently from score0."""
    command = [sys.executable, str(TESTS / "fakes" / "forests.py"), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(TESTS.parent / "worker")}
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return {
        Path(path).name: (are_walked, different)
        for path, are_walked, different in map(json.loads, ran.stdout.splitlines())
    }


def test_every_forest_scores_each_row_bit_by_bit_as_h2o_does():
    said = compared(*forests())

    assert len(said) >= 20
    assert {name: verdict for name, verdict in said.items() if verdict != (True, 0)} == {}


def test_a_forest_whose_trees_disagree_with_score0_is_left_to_h2o():
    assert compared("--otherwise", EXAMPLES / "models" / "gbm_50x5.zip") == {"gbm_50x5.zip": (False, 0)}
