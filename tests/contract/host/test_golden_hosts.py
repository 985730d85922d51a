"""Real hosts with golden answers: they start only with a model that gives these, and start again without them."""

import os
import signal

import pytest

from fakes.examples import IRIS, IRIS_GLM
from fakes.processes import left_behind, nothing_left
from hotswap.codec.golden import GoldenAnswers, GoldenRow
from hotswap.codec.messages import to_document
from hotswap.errors import SwapError
from hotswap.generation import Configuration
from hotswap.host import frames
from hotswap.host.frames import StartStep
from hotswap.host.parent import ModelHost

ROWS, FIELDS = 20, ("species", "setosa", "versicolor", "virginica")


def host(load=None, restarts=None):
    on_restart = pytest.fail if restarts is None else restarts.append
    return ModelHost(load=load or IRIS.load(), deadline_s=30, on_restart=on_restart, on_unknown=pytest.fail)


@pytest.fixture(scope="module")
def golden():
    """H2O's own answers to the first rows."""
    rows = []
    for request, told in zip(IRIS.requests()[:ROWS], IRIS.predictions(), strict=False):
        answer = {name: told["predict"] if name == "species" else float(told[name]) for name in FIELDS}
        rows.append(GoldenRow(to_document(IRIS.operation.input.FromString(request)), answer))
    return GoldenAnswers(rows=rows, operation=IRIS.operation.name)


def changed(golden, number, **values):
    rows = list(golden.rows)
    row = rows[number - 1]
    rows[number - 1] = GoldenRow(row.request, {**row.answer, **values})
    return GoldenAnswers(rows=rows, operation=golden.operation, tolerances=golden.tolerances)


async def refusal(golden, load=None):
    before = left_behind()
    with pytest.raises(SwapError) as refused:
        await host(load).start(golden=golden.dump())
    assert refused.value.code == "GOLDEN_MISMATCH"
    await nothing_left(before)
    return refused.value.message.splitlines()


async def test_a_model_that_gives_the_golden_answers_starts_and_starts_again_without_them(golden, monkeypatch):
    orders, pack = [], frames.pack_load
    monkeypatch.setattr(frames, "pack_load", lambda order: orders.append(order) or pack(order))
    steps, parse = [], frames.parse_step
    monkeypatch.setattr(frames, "parse_step", lambda *args: steps.append(parse(*args)) or steps[-1])
    restarts = []
    made = host(restarts=restarts)
    await made.start(golden=golden.dump())
    assert steps == [StartStep.LOADING, StartStep.SAMPLING, StartStep.COMPARING, StartStep.WARMING]

    os.kill(made.pid, signal.SIGKILL)
    await made.score(IRIS.requests())
    await made.stop()

    assert restarts == ["crashed"]
    assert [bool(order.golden) for order in orders] == [True, False]


async def test_one_wrong_value_fails_the_start_with_row_field_and_both_values(golden):
    right = golden.rows[6].answer["setosa"]
    assert await refusal(changed(golden, 7, setosa=0.5)) == [
        "1 of 20 golden rows got another answer than expected:",
        f"row 7, setosa: expected 0.5, got {right} (tolerance 1e-06)",
    ]


async def test_a_model_with_exchanged_probabilities_fails_the_golden_answers_of_the_one_before(golden):
    exchanged = Configuration(outputs={"setosa": "p_virginica", "virginica": "p_setosa"})
    what, first, *_, more = await refusal(golden, IRIS.load(configuration=exchanged))
    assert what == "20 of 20 golden rows got another answer than expected:"
    assert first.startswith(f"row 1, setosa: expected {golden.rows[0].answer['setosa']}, got 0.027")
    assert more == "and 30 more"


async def test_another_model_gives_other_answers_unless_they_may_differ_by_as_much(golden):
    (_, first, *_) = await refusal(golden, IRIS_GLM.load())
    assert first.startswith("row 1, setosa: expected 0.945")
    wide = GoldenAnswers(rows=golden.rows, tolerances=dict.fromkeys(FIELDS[1:], 1.0))
    made = host(IRIS_GLM.load())
    await made.start(golden=wide.dump())
    await made.stop()
