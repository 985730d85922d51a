"""The recorded terminal of the documents."""

import html
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import record_terminal

ROOT = Path(__file__).parents[2]


def test_the_recorded_terminal_shows_each_command_and_nothing_of_the_machine():
    recorded = html.unescape((ROOT / "docs/terminal.svg").read_text(encoding="utf-8")).replace("\xa0", " ")
    typed = "\n".join((record_terminal.DEV, *record_terminal.COMMANDS)).splitlines()
    assert [line for line in typed if line not in recorded] == []
    assert re.findall(r"(?<![\w.:/])/(?:home|root|tmp|Users|work)\b\S*", recorded) == []
