"""The recorded pictures: each panel of the dashboard is drawn, and a terminal shows what remained on it."""

import html
import json
import math
import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from harness import pictures

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import dashboard_picture
import record_terminal

ROOT = Path(__file__).parents[2]


def test_each_panel_of_the_dashboard_is_drawn_in_its_place_with_its_title_and_unit():
    dashboard = json.loads((ROOT / "ops/grafana/dashboards/hotswap.json").read_text(encoding="utf-8"))
    seconds = range(0, 185, 5)
    lines = {
        panel["id"]: [
            dashboard_picture.Line(target["legendFormat"].replace("{{", "").replace("}}", ""), seconds, values)
            for target in panel["targets"]
            for values in ([float(at) for at in seconds], [0.0] * len(seconds), [math.nan] * len(seconds))
        ]
        for panel in dashboard["panels"]
    }
    lines[1] = lines[7] = []  # nothing to show
    lines[10] = [dashboard_picture.Line(f"worker-{n % 2} · {n}", seconds[4 * n :][:9], [1.0] * 9) for n in range(9)]
    figure = dashboard_picture.picture(dashboard, dashboard_picture.Recording(lines, [20, 80], 180, 5))
    assert pictures.faults(figure) == []
    assert {panel["title"] for panel in dashboard["panels"]} < {text.get_text() for text in figure.texts}


def test_a_progress_bar_leaves_its_last_state_on_the_recorded_terminal():
    screen = StringIO()
    with Live(console=Console(file=screen, force_terminal=True, width=80)) as live:
        for word in ("one\ntwo\nthree", "four\nfive", "six\nseven"):
            live.update(word, refresh=True)
    written = "$ command\r\n" + screen.getvalue().replace("\n", "\r\n") + "done\r\n"
    left = Text.from_ansi(record_terminal.settled(written)).plain
    assert [line for line in left.splitlines() if line] == ["$ command", "six", "seven", "done"]


def test_the_recorded_terminal_shows_each_command_and_nothing_of_the_machine():
    recorded = html.unescape((ROOT / "docs/terminal.svg").read_text(encoding="utf-8")).replace("\xa0", " ")
    typed = "\n".join((record_terminal.DEV, *record_terminal.COMMANDS)).splitlines()
    assert [line for line in typed if line not in recorded] == []
    assert re.findall(r"(?<![\w.:/])/(?:home|root|tmp|Users|work)\b\S*", recorded) == []
