"""What is logged, and which repeated messages are not."""

import io
import json
import logging

import pytest

from hotswap import logs


@pytest.fixture
def lines():
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.set_up(style="json", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    root.setLevel(level)


def test_an_event_comes_first_and_its_facts_are_fields(lines):
    logging.getLogger("hotswap.staging").info("swap.ready", extra={"generation": 7})
    (line,) = lines()
    assert (line["event"], line["generation"], line["level"]) == ("swap.ready", 7, "INFO")


def test_uvicorns_coloured_copy_of_a_message_is_left_out(lines):
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[36mStarted"})
    assert "color_message" not in lines()[0]


def test_the_libraries_of_stores_tell_no_details_whatever_the_level(lines):
    logs.set_up(level="DEBUG")
    for library in ("botocore.auth", "botocore.endpoint", "azure.core", "google.auth", "urllib3.connectionpool"):
        assert not logging.getLogger(library).isEnabledFor(logging.INFO)


def test_repeated_messages_of_a_library_are_logged_now_and_then(lines, monkeypatch):
    library, ours = logging.getLogger("aiokafka.conn"), logging.getLogger("hotswap.pipeline.loop")
    for _ in range(3):
        library.error("Unable to connect to %s", "a:1")
        ours.warning("partition.held")
    library.error("Unable to connect to %s", "b:1")
    said = [line["event"] for line in lines()]
    assert said.count("Unable to connect to a:1") == 1
    assert said.count("Unable to connect to b:1") == 1
    assert said.count("partition.held") == 3
    monkeypatch.setattr(logs, "_REPEAT_S", -1.0)
    library.error("Unable to connect to %s", "a:1")
    assert [line["event"] for line in lines()].count("Unable to connect to a:1") == 2
