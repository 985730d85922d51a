"""Untrusted text never controls a terminal, wherever it is shown; machines get it unchanged."""

import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some
from rich.console import Console

import hotswap
from fakes.hostile_text import HOSTILE, STYLE, is_harmless
from hotswap import logs
from hotswap.cli.follow import outcomes
from hotswap.client.change import Receipt
from hotswap.client.fleet import Told
from hotswap.printable import duration, line_by_line, printable, printable_json

nasty = some.one_of(some.sampled_from(HOSTILE), some.text(), some.text(some.characters(categories=["Cc", "Cf", "Cs"])))
sound = some.text(some.characters(exclude_categories=["Cs"])) | some.sampled_from(HOSTILE[:-1])
FACTS = {"generation": 1, "command_id": "x", "at": 0.0, "phase_seconds": {}}
RECEIPT = Receipt("c", 2, {}, 1.0)


@settings(deadline=None)
@given(nasty)
@example("\t\n")
def test_printable_text_stays_and_everything_else_is_escaped(text):
    assert printable(text).isprintable()
    assert printable(text) == text or not text.isprintable()
    assert is_harmless(line_by_line(text))
    assert line_by_line(text).count("\n") == text.count("\n")


@settings(deadline=None)
@given(some.recursive(sound, lambda inner: some.lists(inner) | some.dictionaries(sound, inner), max_leaves=8))
def test_escaped_json_has_the_same_values(document):
    shown = printable_json(json.dumps(document, ensure_ascii=False))
    assert shown.isprintable()
    assert json.loads(shown) == document


@settings(deadline=None)
@given(nasty, nasty, nasty, some.booleans())
def test_a_table_shows_texts_escaped_and_otherwise_unchanged(worker, code, message, is_terminal):
    told = Told(worker=worker, outcome="FAILED", code=code, message=message, **FACTS)
    stream = io.StringIO()
    screen = Console(file=stream, force_terminal=is_terminal, width=10_000, color_system="truecolor")
    screen.print(outcomes(worker, RECEIPT, {worker: told}))
    shown = STYLE.sub("", stream.getvalue())
    assert is_harmless(stream.getvalue())
    assert line_by_line(worker).strip().split("\n")[0] in shown


@settings(deadline=None)
@given(nasty, nasty)
def test_a_text_log_line_is_one_line_without_escape_sequences(event, fact):
    stream = io.StringIO()
    formatter = logs._Text()
    record = logging.makeLogRecord({"msg": event.replace("%", ""), "levelname": "INFO", "name": "w", "why": fact})
    stream.write(formatter.format(record))
    assert stream.getvalue().isprintable()


def test_a_logged_traceback_keeps_its_line_feeds_and_is_escaped():
    try:
        int(HOSTILE[0])
    except ValueError:
        record = logging.makeLogRecord({"msg": "x", "exc_info": sys.exc_info()})
    shown = logs._Text().format(record)
    assert is_harmless(shown)
    assert shown.count("\n") >= 3


def test_every_output_goes_through_an_escaping_writer():
    ways = re.compile(r"click\.(echo|secho)\(|\bprint\(|\bTable\(|\bText\(|print_exc\(|from_markup")
    for path in Path(hotswap.__path__[0], "cli").glob("*.py"):
        found = [line for line in path.read_text().splitlines() if ways.search(line)]
        assert not found or path.name in {"shared.py", "exits.py"} or all("out().print(" in line for line in found), (
            path.name
        )


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0 ms"), (0.345, "345 ms"), (1.999, "1999 ms"), (12, "12 s"), (7_200, "2 h"), (218_289_529.202, "7 years")],
)
def test_a_duration_is_written_in_a_unit_that_people_read(seconds, written):
    assert duration(seconds) == written
