"""The command lines of the benchmark's contenders in Java."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import by_java
from by_java import BY_HAND, STREAMS, Task


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (f"{STREAMS}, as shipped", []),
        (f"{STREAMS}, leaves the group, commits every 100 ms", ["100"]),
        (f"{STREAMS}, leaves the group, commits every 10 ms", ["10"]),
        (BY_HAND, ["none", "headers", "200", "Rows"]),
    ],
)
def test_kafka_streams_gets_the_settings_of_an_expert_only_where_its_name_says_so(
    name, settings, monkeypatch, tmp_path
):
    monkeypatch.setattr(by_java, "_jars", lambda: iter(()))
    words = by_java.command(name, tmp_path, Task(), "broker", "requests", "predictions", "group")
    program = words.index("Streams" if name.startswith(STREAMS) else "ByHand")
    assert words[program + 1 :] == ["broker", "requests", "predictions", "group", str(by_java.MODEL), "2", *settings]
