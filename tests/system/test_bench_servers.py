"""The servers that the benchmark calls score as the library does, and leave nothing behind."""

import sys

import numpy as np
import psutil
import pytest

from fakes.processes import gone
from harness.fleet import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import served
from python_libraries import matrix_of, scorer_of
from python_models import CRAYFISH, contenders

EACH = [
    *(pytest.param(server, "python", id=f"{server}-python") for server in served.servers_of("python")),
    *(
        pytest.param(server, kind, marks=getattr(pytest.mark, kind))
        for kind in ("onnx", "xgboost", "lightgbm")
        for server in served.servers_of(kind)
    ),
]


@pytest.mark.skipif(not served.are_installed(), reason="make bench-servers installs them")
@pytest.mark.parametrize(("server", "kind"), EACH)
async def test_a_server_scores_a_row_as_the_library_does_and_ends_with_its_block(server, kind, tmp_path):
    model = next(one for one in contenders(tmp_path) if one.kind == kind and one.name != CRAYFISH)

    with served.served(server, model) as (endpoint, pid):
        scores = endpoint.scores(model.rows[0])
        pids = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]

    expected = scorer_of(kind, model.model)(matrix_of(model.rows[:1]))
    np.testing.assert_allclose(scores, np.ravel(expected), rtol=1e-5)
    for process in pids:
        await gone(process)
