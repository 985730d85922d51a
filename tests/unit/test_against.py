"""The verdict of `make against`, on synthetic rounds, and a checkout that cannot be measured."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import against
from against import AGAIN, NEW, OLD, Turns, keep, verdict
from contender import command_line
from stream import Changed, Steady
from through_kafka import Backlog


def turns(*backlogs):
    """Return turns with these rows/s and CPU a row, and a latency that is always the same."""
    steady = Steady(per_second=1_000, p50_ms=3, p99_ms=9, longest_gap_ms=40, cores=0.3, broker_cores=0.3)
    changed = Changed(longest_gap_ms=40, p99_around_ms=9, p99_after_ms=9, first_prediction_s=0.3)
    return Turns([Backlog(rows_per_s, cpu_us, 350, 4.0) for rows_per_s, cpu_us in backlogs], [changed], [steady])


@pytest.mark.parametrize(
    ("new", "again", "is_good"),
    [
        ((100_000, 4.0), (100_000, 4.0), True),
        ((98_100, 4.07), (100_000, 4.0), True),
        ((97_000, 4.0), (100_000, 4.0), False),
        ((100_000, 4.1), (100_000, 4.0), False),
        ((97_000, 4.0), (97_000, 4.0), True),
        ((100_000, 4.1), (100_000, 3.9), True),
        ((150_000, 2.0), (100_000, 4.0), True),
    ],
)
def test_the_new_commit_may_be_two_percent_worse_plus_the_difference_of_the_old_one_from_itself(new, again, is_good):
    passes, said = verdict({OLD: turns((100_000, 4.0)), NEW: turns(new), AGAIN: turns(again)})
    assert passes == is_good
    assert said.startswith("passed: rows/s" if is_good else "failed: rows/s")


def test_one_outlying_round_decides_nothing():
    always = [(100_000, 4.0)] * 3
    passes, said = verdict({OLD: turns(*always), NEW: turns(*always[:2], (10_000, 40.0)), AGAIN: turns(*always)})
    assert passes
    assert said.count("1.000 times worse, at most 1.020 allowed") == 2


def test_a_ratio_is_that_of_a_turn_however_the_machine_drifts():
    slow_at_last = (100_000, 4.0), (80_000, 5.0), (40_000, 10.0)
    as_good_in_the_middle = (90_000, 4.0 / 0.9), (80_000, 5.0), (36_000, 10.0 / 0.9)
    taken = {OLD: turns(*slow_at_last), NEW: turns(*as_good_in_the_middle), AGAIN: turns(*slow_at_last)}
    passes, said = verdict(taken)
    assert not passes
    assert said.count("1.111 times worse, at most 1.020 allowed") == 2


def test_every_turn_of_each_is_kept_with_the_commits(tmp_path, monkeypatch):
    monkeypatch.setattr(against, "KEPT", tmp_path / "against.json")
    keep({OLD: turns((1, 9.0), (2, 8.0)), NEW: turns((3, 4.0))}, {OLD: "aaaaaaa", NEW: "bbbbbbb"}, 10)
    kept = json.loads(against.KEPT.read_bytes())
    assert (kept[OLD], kept[NEW]) == ("aaaaaaa", "bbbbbbb")
    costs = {which: [turn["cpu_us_per_row"] for turn in one["backlog"]] for which, one in kept["turns"].items()}
    assert costs == {OLD: [9, 8], NEW: [4]}
    assert [turn["p99_ms"] for turn in kept["turns"][NEW]["steady"]] == [9]


def test_the_page_shows_the_medians_of_the_kept_run_and_the_ratios_of_its_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(against, "KEPT", tmp_path / "against.json")
    old, new = turns((1_000, 8.0), (2_000, 8.0), (4_000, 8.0)), turns((2_000, 2.0), (6_000, 4.0), (12_000, 4.0))
    keep({OLD: old, NEW: new, AGAIN: old}, {OLD: "aaaaaaa", NEW: "bbbbbbb"}, 10)
    _, (shown,) = against.section()
    assert shown.title == "The worker of commit bbbbbbb beside that of commit aaaaaaa, which was measured twice"
    assert shown.rows[0] == [
        "rows/s", "2,000 (1,000-4,000)", "6,000 (2,000-12,000)", "2,000 (1,000-4,000)", "3.000", "1.000",
    ]  # fmt: skip
    assert "of 3 turns, 1 of 10 s at 1,000/s, and 1 swaps." in shown.note


def test_a_checkout_without_an_environment_is_told_to_run_make_setup(tmp_path):
    with pytest.raises(SystemExit, match=r"hotswap is not there: run `make setup` in "):
        command_line(tmp_path)
