"""The tables of models that a library of Python scores, and the calls of the servers beside them."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bench
import kinds
import python_by_hand
import python_kinds
import served
from closed_caller import Endless
from through_kafka import Backlog

ROW = {"x0": 0.5, "x1": -1.0}


def backlogs(*costs):
    return [Backlog(1e6 / cost, cost, 100.0, kafka_us_per_row=1.0) for cost in costs]


def test_the_ratio_beside_a_consumer_by_hand_is_without_the_time_of_the_library_on_both_sides():
    line = python_by_hand.PythonByHand("onnx: m", 1_000, 2.0, ours=backlogs(3.0, 3.5, 4.0), by_hand=backlogs(8.0, 7.0))

    (figures,) = python_by_hand.figures([line])

    ours, hand, ratio = (dict(zip(figures.header, row, strict=True)) for row in figures.rows)
    without = "CPU without the library's, µs a row"
    assert ours[without].startswith("1.50 (1.00-2.00)")
    assert hand[without].startswith("5.50 ")
    assert ratio[without] == "0.27"
    assert ratio["CPU, µs a row"] == "0.47"


def test_a_run_of_some_kinds_keeps_the_figures_of_the_others():
    old = [python_by_hand.PythonByHand(name, 1, 1.0, [], []) for name in ("onnx: m", "xgboost: m")]
    new = python_by_hand.PythonByHand("xgboost: m", 2, 1.0, [], [])

    assert bench._beside_others(old, [new]) == [old[0], new]


def test_what_is_measured_anew_of_some_kinds_is_dated_beside_the_rest():
    kept = {"date": "2026-12-02", "cores": 2, "of python:": "date 2026-12-03"}
    new = {"date": "2026-12-04", "cores": 2}

    assert bench._beside_other_dates(kept, new, ["python"]) == kept | {"of python:": "date 2026-12-04"}
    assert bench._beside_other_dates(new, new, ["python"]) == new
    assert bench._beside_other_dates(kept, new, []) == new
    assert bench._beside_other_dates(None, new, ["python"]) == new


@pytest.mark.parametrize(("caller", "above"), [(0.5, "2.25"), (None, "-")])
def test_what_a_host_takes_above_the_library_is_with_its_caller(caller, above):
    host = kinds.Line("python: f", 1e6, 2.0, 0.25, 1.0, 200.0, caller)

    (figures,) = python_kinds.figures([python_kinds.Paths("python: f", host, host)])

    assert dict(zip(figures.header, figures.rows[0], strict=True))["above the library"] == above


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        (served.Endpoint(1, "/", is_ours=True), {"generation": 3, "prediction": {"no": 0.25, "yes": 0.75}}),
        (
            served.Endpoint(1, "/", is_v2=True),
            {"model_name": "m", "outputs": [{"shape": [1, 2], "data": [0.25, 0.75]}]},
        ),
        (served.Endpoint(1, "/"), [[0.25, 0.75]]),
    ],
)
def test_the_scores_of_each_servers_reply_are_found(endpoint, said):
    assert endpoint.parse(json.dumps(said).encode()) == [0.25, 0.75]


def test_each_server_is_sent_the_same_row():
    bodies = [json.loads(served.Endpoint(1, "/", **how).body(ROW)) for how in ({}, {"is_v2": True}, {"is_ours": True})]

    assert [bodies[0]["rows"], bodies[1]["inputs"][0]["data"]] == [[list(ROW.values())]] * 2
    assert bodies[1]["inputs"][0]["shape"] == list(np.shape(bodies[0]["rows"]))
    assert bodies[2] == ROW


def test_callers_in_a_closed_loop_are_never_without_a_call():
    calls = Endless([b"a", b"b"])

    assert [calls.popleft()[0] for _ in range(5) if calls] == [b"a", b"b", b"a", b"b", b"a"]
