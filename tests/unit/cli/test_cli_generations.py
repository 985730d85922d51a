"""`hotswap status` and `top` of a deployment that has two generations: which scores what, and how to end that."""

import json
import time

import pytest

from fakes.command_line import hotswap
from fakes.staged import ALL, StagedFleet

DAY_S = 86_400


@pytest.fixture
def fleet(settings, monkeypatch):
    monkeypatch.setattr("hotswap.cli.top._REFRESH_S", 0.01)
    made = StagedFleet(settings, monkeypatch)
    made.request(0, 0, 0, 1, 2, 3, 3, 3)
    return made


def cells(shown, first):
    """Return the cells of the row that begins so."""
    row = next(line for line in shown.splitlines() if line.startswith(f"│ {first} "))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_one_generation_alone_has_no_table(fleet):
    fleet.report(ALL, (1,))
    shown = hotswap("status", "d").stdout
    assert shown.startswith("d: generation 1 serves, 2 workers\n")
    assert "share" not in shown
    assert "of the requests of" not in hotswap("top", "d", "--once").stdout
    (view,) = json.loads(hotswap("status", "--json").stdout)
    assert [(one["generation"], one["state"], one["share"]) for one in view["generations"]] == [(1, "serves", 1.0)]


def test_a_staged_one_is_shown_with_the_commands_that_end_its_stage_and_until_when(fleet):
    fleet.stage(promote_by_ms=(until := int(time.time() + DAY_S)) * 1000)
    shown = hotswap("status", "d").stdout
    assert shown.startswith("d: generation 1 serves, generation 2 staged on 2 of 2 workers, 2 workers\n")
    assert cells(shown, 2) == ["2", "new", "staged on 2 of 2 workers", "none", "0 %"]
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(until))
    assert f"generation 2 awaits `hotswap promote d` until {at}, or `hotswap abandon d`\n" in shown


def test_after_its_time_it_awaits_no_promote(fleet):
    fleet.stage(promote_by_ms=int(time.time() - 1) * 1000)
    assert "awaits" not in hotswap("status", "d").stdout


def test_a_canary_is_shown_with_its_partitions_and_its_share(fleet):
    fleet.stage()
    fleet.promote({0: 0})
    fleet.report({**ALL, 0: 2})
    shown = hotswap("status", "d").stdout
    assert shown.startswith("d: generation 1 serves, generation 2 promoted on partition 0 of 4, 2 workers\n")
    assert "generations (share: of the requests of the last hour)" in shown
    assert cells(shown, 1) == ["1", "old", "serves", "1-3", "62.5 %"]
    assert cells(shown, 2) == ["2", "new", "promoted on partition 0 of 4", "0", "37.5 %"]
    assert cells(shown, "w1")[:2] == ["w1", "1, 2"]
    assert "generation 2 awaits `hotswap promote d` or `hotswap abandon d`\n" in shown


def test_it_is_shown_in_60_columns_too(fleet, monkeypatch):
    monkeypatch.setattr("hotswap.cli.shared._PIPE_WIDTH", 60)
    fleet.stage()
    fleet.promote({0: 0})
    fleet.report({**ALL, 0: 2})
    shown = hotswap("status", "d").stdout
    assert max(map(len, shown.splitlines())) <= 60
    assert "37.5 %" in shown


def test_top_has_a_line_for_each(fleet):
    fleet.stage()
    fleet.promote({0: 0})
    fleet.report({**ALL, 0: 2})
    assert hotswap("top", "d", "--once").stdout.splitlines()[1:3] == [
        "generation 1 serves: 62.5 % of the requests of the last hour",
        "generation 2 promoted on partition 0 of 4: 37.5 % of the requests of the last hour",
    ]


def test_as_json(fleet):
    fleet.stage(promote_by_ms=2_000_000_000_000)
    fleet.promote({0: 0, 1: 9})
    fleet.report({**ALL, 0: 2})
    (view,) = json.loads(hotswap("status", "--json").stdout)
    assert view["generations"][1] == {
        "generation": 2,
        "state": "promoted",
        "model": "new",
        "partitions": [0],
        "share": 0.375,
        "promoted": [0, 1],
        "promote_by_ms": 2_000_000_000_000,
        "is_open": True,
        "replaces": 0,
        "loaded_on": ["w1", "w2"],
    }
    assert view["window"]["requests"] == 8
    assert [worker["scores"] for worker in view["workers"]] == [[1, 2], [1]]


def test_what_replaces_an_abandoned_one_that_scored_nothing_is_not_awaited(fleet):
    fleet.stage()
    fleet.abandon()
    fleet.report(ALL, (1,))
    assert hotswap("status", "d").stdout.startswith("d: generation 1 serves, 2 workers\n")


def test_what_no_worker_could_load_is_said_to_have_failed(fleet, settings):
    fleet.stage()
    fleet.report(ALL, (1,))
    fleet.say(2, "FAILED")
    assert hotswap("status", "d").stdout.startswith("d: generation 1 serves, generation 2 failed, 2 workers\n")
