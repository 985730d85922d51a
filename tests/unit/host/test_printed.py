"""What a host prints is read within a budget, its end is kept, and a bounded part of it is logged."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest

from hotswap.host.printed import Excerpt, Printed

MIB = 1 << 20


@pytest.fixture
def excerpt() -> Excerpt:
    made = Excerpt()
    made.generation = 7
    return made


@pytest.fixture(autouse=True)
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO")
    return caplog


def texts(logged: pytest.LogCaptureFixture) -> list[str]:
    return [vars(record)["text"] for record in logged.records if "text" in vars(record)]


def left_out(logged: pytest.LogCaptureFixture) -> list[tuple[int, int]]:
    told = [vars(record) for record in logged.records]
    return [(one["left_out_lines"], one["left_out_bytes"]) for one in told if "left_out_lines" in one]


def test_lines_are_logged_with_their_generation_as_they_are_completed(excerpt, logged):
    excerpt.add(b"one\ntw", 0)
    assert texts(logged) == ["one"]
    excerpt.add(b"o\n\n \nthree", 1)
    assert texts(logged) == ["one", "two"]
    excerpt.end()

    assert texts(logged) == ["one", "two", "three"]
    assert {(record.getMessage(), vars(record)["generation"]) for record in logged.records} == {("model.printed", 7)}


def test_what_is_printed_before_the_generation_is_known_is_not_logged(logged):
    excerpt = Excerpt()
    excerpt.add(b"of a standby\n", 0)
    excerpt.generation = 8
    excerpt.add(b"of the model\n", 0)

    assert texts(logged) == ["of the model"]


def test_a_minute_has_a_hundred_lines_and_then_a_count(excerpt, logged):
    for second in range(50):
        excerpt.add(b"line\n" * 10, second)
    assert len(texts(logged)) == 100
    assert left_out(logged) == []
    excerpt.add(b"next\n", 60)

    assert texts(logged)[100:] == ["next"]
    assert left_out(logged) == [(400, 2_000)]


def test_a_minute_has_16_kib_whatever_the_lines_are(excerpt, logged):
    excerpt.add(b"x" * MIB, 0)
    excerpt.add(b"y" * 1_000 + b"\n", 1)
    excerpt.end()

    logged_bytes = sum(map(len, texts(logged)))
    assert 16 << 10 <= logged_bytes <= (16 << 10) + 2_000
    assert max(map(len, texts(logged))) == 2_000
    assert left_out(logged) == [(1, MIB + 1_001 - logged_bytes)]


def test_bytes_that_are_no_text_are_logged_nevertheless(excerpt, logged):
    excerpt.add(b"\xff\x00\n", 0)

    assert texts(logged) == ["\ufffd\x00"]


class Pipe:
    """A pipe that is written to without waiting, and the clock of the loop that reads it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        self.now = 100.0
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda: self.now)
        self.printed = Printed(reader)

    async def filled(self) -> int:
        """Write until nobody reads any more; return how many bytes that took."""
        written = 0
        for _ in range(200):
            with contextlib.suppress(BlockingIOError):
                written += os.write(self.writer, b"x" * 4_096 * 16)
            await asyncio.sleep(0)
        return written


@pytest.fixture
async def pipe(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pipe]:
    made = Pipe(monkeypatch)
    yield made
    with contextlib.suppress(OSError):
        made.printed.close()
    os.close(made.writer)


async def test_one_who_prints_without_end_waits_until_the_next_second(pipe):
    assert MIB <= await pipe.filled() <= MIB + (128 << 10)
    assert await pipe.filled() == 0
    pipe.now += 0.9
    assert await pipe.filled() == 0
    pipe.now += 0.2
    assert MIB <= await pipe.filled() <= MIB + (128 << 10)


async def test_the_tail_is_the_last_8_kib_also_past_the_budget(pipe):
    await pipe.filled()
    pipe.printed.tail  # noqa: B018 - it takes what is in the pipe
    os.write(pipe.writer, b"the end\n")

    assert pipe.printed.tail == "x" * ((8 << 10) - 8) + "the end"


async def test_a_pipe_whose_budget_is_used_up_is_closed_without_a_trace(pipe, logged):
    await pipe.filled()
    pipe.printed.close()
    pipe.now += 2
    for _ in range(3):
        await asyncio.sleep(0)

    assert pipe.printed.tail.startswith("x")
    assert not [record for record in logged.records if record.levelname == "ERROR"]


async def test_an_ended_output_is_not_read_again(pipe):
    os.write(pipe.writer, b"bye")
    other, pipe.writer = pipe.writer, os.open(os.devnull, os.O_WRONLY)
    os.close(other)
    for _ in range(5):
        await asyncio.sleep(0)

    assert not asyncio.get_running_loop().remove_reader(pipe.printed._descriptor)
    assert pipe.printed.tail == "bye"
