"""`hotswap top` over logs in memory: what it shows, in 80 columns, and what the keys do."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from fakes.command_line import hotswap
from fakes.kafka_logs import FakeWorker
from hotswap.cli.top import Screen
from hotswap.client.overview import overview

UP, DOWN, ENTER = "\x1b[A", "\x1b[B", "\n"


@pytest.fixture
def worker(cluster, settings):
    """The worker of a deployment of two partitions; it stages a swap, and one of its partitions is held."""
    made = FakeWorker(cluster, settings, "hotswap-7f9c6-x2x", ("STAGING",))
    hotswap("swap", "d", "--model", "model.zip", "--proto", "frame.proto", "--no-wait")
    made.speak(generation=1, partitions={0: "", 1: "paused by command 7"}, latency_p99_s=0.05)
    cluster.append(settings.topics.requests, b"", partition=1)
    return made


def drawn(screen):
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    console.print(screen.render(80))
    return console.file.getvalue()


async def test_it_shows_partitions_lag_rate_latency_the_swap_under_way_and_refusals_in_80_columns(worker, settings):
    screen, view = Screen(), await overview(settings)
    screen.observe([view], 0.0)
    screen.observe([view], 1.0)
    screen.refusals.append("2026-11-27 00:00:00  d.requests-0-7  UNDECODABLE  is no message")
    shown = drawn(screen)
    assert max(map(len, shown.splitlines())) <= 80
    for text in (
        "d: generation 1 serves, 1 worker, lag 1, 0 answers/s, p99 within 0.05 s",
        "swap to 1: model model, proto: hotswap-7f9c6-x2x STAGING",
        "hotswap-7f9c6-x2x",
        "UNDECODABLE  is no message",
    ):
        assert text in shown


async def test_in_60_columns_it_leaves_columns_out_and_breaks_no_word(worker, settings):
    screen = Screen()
    screen.observe([await overview(settings)], 0.0)
    console = Console(width=60, file=io.StringIO())
    console.print(screen.render(60))
    shown = console.file.getvalue()
    assert max(map(len, shown.splitlines())) <= 60
    assert "┃ partition ┃ generation ┃ lag ┃ answers/s ┃ held ┃" in shown


async def test_the_arrows_pick_a_partition_and_enter_shows_why_it_is_held_and_what_helps(worker, settings):
    screen = Screen()
    screen.observe([await overview(settings)], 0.0)
    for key in (UP, DOWN, DOWN, ENTER):
        screen.press(key)
    assert "partition 1: paused by command 7" in drawn(screen)
    assert "try: hotswap resume d" in drawn(screen)
    screen.press(UP)
    assert "partition 0 is served by hotswap-7f9c6-x2x" in drawn(screen)
    screen.press(ENTER)
    assert "is served by" not in drawn(screen)


async def test_a_rate_is_what_was_answered_since_the_last_look(worker, settings):
    screen, view = Screen(), await overview(settings)
    screen.observe([view], 0.0)
    later = tuple(replace(lag, committed=lag.committed + 500, end=lag.end + 500) for lag in view.lags)
    screen.observe([replace(view, lags=later)], 2.0)
    assert "500 answers/s" in drawn(screen)


def test_once_prints_it_with_the_last_refusals_and_ends(worker, cluster, settings, monkeypatch):
    for number in range(5):
        headers = (("code", b"UNDECODABLE"), ("message", b"is no message"), ("source", b"d.requests-0-%d" % number))
        cluster.append(settings.topics.dead_letters, b"", headers=(*headers, ("generation", b"1")), partition=0)
    monkeypatch.setattr("hotswap.cli.top._REFRESH_S", 0.01)
    shown = hotswap("top", "d", "--once").stdout
    assert "d: generation 1 serves, 1 worker, lag 1" in shown
    assert [f"d.requests-0-{number}" in shown for number in range(5)] == [False, False, True, True, True]
    assert "d: generation 1 serves, 1 worker, lag 1" in hotswap("top", "--once").stdout
