"""The tables that the tests' H2O models learn from, and whose first rows they score: seeded, so always the same."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
from train import COLORS, MISSING, SEED

NUMBERS = ("x0", "x1", "x2", "x3")
INPUTS = (*NUMBERS, "color", "country")
SENT = (*INPUTS, "exposure", "treatment")
COUNTRIES = ("AT", "BE", "CH", "DE", "ES", "FR", "GB", "IE", "IT", "NL", "PL", "SE")  # EnumLimited keeps ten
CATEGORIES = ("color", "country", "response", "grade", "treatment", "event")
PLANS = ("b.c", "d", "b", "missing(na)")
NOTES = ("x.y", "x:1", "missing", "other", "top_3_levels", "\N{LATIN SMALL LETTER E WITH ACUTE} \N{SNOWMAN}")
ODD_INPUTS = (
    *("Age at start", "plan.z", "plan", "plan.b", "age", "Age"),
    *("\N{CJK UNIFIED IDEOGRAPH-65E5}\N{CJK UNIFIED IDEOGRAPH-672C}", "class"),
)
ODD_CATEGORIES = ("plan", "plan.b", ODD_INPUTS[6], "Response y")


def table(count: int) -> dict[str, list[Any]]:
    """Columns of every type that a model can take, one value in twenty missing, and targets that depend on them."""
    random = np.random.default_rng(SEED)
    x = random.normal(size=(count, 4))
    color, country = random.integers(len(COLORS), size=count), random.integers(len(COUNTRIES), size=count)
    bias = 0.5 * (color == 2) - 0.7 * np.isin(country, [0, 3])
    score = x[:, 0] - x[:, 1] * x[:, 2] + bias + random.normal(size=count)
    treated = random.integers(2, size=count)
    columns = {name: written(x[:, place]) for place, name in enumerate(NUMBERS)}
    columns |= {"color": [COLORS[number] for number in color], "country": [COUNTRIES[number] for number in country]}
    for values in columns.values():
        for row in np.flatnonzero(random.random(count) < MISSING):
            values[row] = ""
    columns["x0"][0] = columns["color"][1] = ""  # whatever chance leaves out
    return {
        **columns,
        "exposure": written(random.uniform(-1, 1, count)),
        "treatment": [("control", "treatment")[number] for number in treated],
        "response": [("no", "yes")[int(value)] for value in score + 0.5 * treated > 0],
        "grade": [("low", "mid", "top")[int(value)] for value in np.digitize(score, [-0.7, 0.7])],
        "amount": written(np.exp(0.4 * score)),
        "share": written(1 / (1 + np.exp(-score))),
        "is_high": [int(value) for value in score > 0.5],
        "count": [int(value) for value in random.poisson(np.exp(0.3 * score))],
        "time": written(random.exponential(np.exp(-0.3 * score)) + 0.01),
        "event": [int(value) for value in random.random(count) < 0.8],
    }


def odd_table(count: int) -> dict[str, list[Any]]:
    """Columns whose names have spaces, dots, colons, other scripts and cases; levels with all of these; 300 levels."""
    random = np.random.default_rng(SEED)
    x, y, city = random.normal(size=count), random.normal(size=count), random.integers(300, size=count)
    plan, note = random.integers(len(PLANS), size=count), random.integers(len(NOTES), size=count)
    score = x + 0.4 * (city % 7) - 1.2 + 1.5 * (plan == 1) - (note == 1) + 0.5 * random.normal(size=count)
    columns: dict[str, list[Any]] = {
        "Age at start": written(x),
        "plan.z": written(y),  # begins as the levels of `plan` do, and is the last number in front of them
        "plan": [PLANS[number] for number in plan],
        "plan.b": [NOTES[number] for number in note],
        "age": written(x - y),
        "Age": written(x + y),
        ODD_INPUTS[6]: [f"city:{number:03}" for number in city],
        "class": written(x * y),
    }
    for values in columns.values():
        for row in np.flatnonzero(random.random(count) < MISSING):
            values[row] = ""
    return {**columns, "Response y": [("no", "yes")[int(value)] for value in score > 0.5]}


def written(numbers: Any) -> list[str]:
    """Numbers as they are read back by anyone."""
    return [f"{number:.6g}" for number in numbers]
