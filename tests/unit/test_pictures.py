"""The pictures of the documents: everything is in them, nothing covers anything, and the space is used."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import pictures

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import bench
import curves
import demo_picture
import plots
import report
from demo_count import Answered, Count, Moment, Score

ROOT = Path(__file__).parents[2]
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


def run_of(*sent, ends, burst=195):
    """Return a demo whose commands were sent after so many seconds, with 300 requests/s and two bursts."""
    titles = (
        "serve iris_gbm",
        "swap to iris_glm",
        "swap to a broken file",
        "re-purpose for breast cancer",
        "roll back",
    )
    moments = [
        Moment(number, title, 1000 + at, 1000.1 + at, "no" if number == 3 else "")
        for number, (title, at) in enumerate(zip(titles, sent, strict=True), 1)
    ]
    served = [moment for moment in moments if not moment.reason]
    answered = []
    for moment, over in zip(served, [*(later.sent_at for later in served[1:]), 1000 + ends], strict=True):
        times = [moment.sent_at + n / 300 for n in range(int(300 * (over - moment.sent_at)))]
        times += [moment.sent_at + 0.05] * (burst if moment.generation > 3 else 0)
        answered += [Answered(at, at, n % 4, moment.generation) for n, at in enumerate(times)]
    scores = tuple(Score(moment.generation, "iris_gbm", 9, 9, 9) for moment in served)
    count = Count(asked=len(answered), refused=0, lost=0, twice=0, unasked=0, answered=tuple(answered), scores=scores)
    return count, moments


@pytest.mark.parametrize("sent", [(0, 6, 12, 18, 24), (0, 6, 6.2, 6.4, 6.6), (0, 24, 25, 26, 27)])
def test_no_label_of_the_demo_covers_another_one_however_close_its_commands_are(sent):
    figure = demo_picture.picture(*run_of(*sent, ends=30))
    assert pictures.faults(figure) == []


def test_the_steady_stream_of_the_demo_fills_its_frame_and_what_is_cut_off_is_written_beside_it():
    figure = demo_picture.picture(*run_of(0, 6, 12, 18, 24, ends=30))
    (axes,) = figure.axes
    assert 30 / axes.get_ylim()[1] > 0.6
    cut_off = [text.get_text() for text in axes.texts if "↑" in text.get_text()]
    assert [int(text.removeprefix("↑ ")) // 10 for text in cut_off] == [22, 22]
