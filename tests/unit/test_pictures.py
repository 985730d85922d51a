"""The pictures of the documents: everything is in them, nothing covers anything, and the space is used."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import pictures

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import bench
import curves
import plots
import report

KEPT = bench.load()


def used(axes):
    """Return the part of the vertical axis below the highest point."""
    return axes.dataLim.y1 / axes.get_ylim()[1]


def lingering(*costs):
    """Return lines with these cores and p50 for 0, 1, 2, … ms."""
    first = KEPT.linger[0].steady
    steady = [replace(first, cores=cores, broker_cores=cores, p50_ms=p50) for cores, p50 in costs]
    return [curves.Lingering(ms, each) for ms, each in enumerate(steady)]


def test_the_curves_of_the_kept_figures_are_whole():
    figures = plots.growth(KEPT.growth), plots.linger(KEPT.linger, curves.linger_title(KEPT.linger))
    for figure in figures:
        assert pictures.faults(figure) == []
        assert all(used(axes) > 0.8 for axes in figure.axes)


def test_the_picture_of_lingering_says_what_the_kept_figures_say():
    assert "5 to 20 ms saves no CPU" in curves.judge_linger(KEPT.linger)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        ([(1, 4), (0.95, 5), (1.2, 8)], "1 to 2 ms saves no CPU (p50 up to 2.0x)"),
        ([(1, 4), (0.95, 6)], "1 ms saves no CPU (p50 up to 1.5x)"),
        ([(1, 4), (0.5, 6)], "1 ms saves 50% (p50 1.5x)"),
    ],
)
def test_lingering_is_judged_by_its_figures(costs, said):
    assert curves.judge_linger(lingering(*costs)) == said


def test_the_page_of_the_benchmarks_is_what_the_kept_figures_say(tmp_path, monkeypatch):
    page = report.TARGET.read_text(encoding="utf-8")
    monkeypatch.setattr(plots, "save", lambda _, name: plots.DOCS / name)
    assert report.page(KEPT.sections()) == page
