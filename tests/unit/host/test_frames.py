"""The frames of a model host: everything from the child is checked before it is used."""

import json
import socket
import struct
import tracemalloc

import pytest

from hotswap.batch import Code, Refusal
from hotswap.errors import SwapCode
from hotswap.generation import Configuration, Policy, frozen
from hotswap.host import frames
from hotswap.host.frames import FrameError, Kind, ScoredBatch, StartStep
from hotswap.host.order import Ground, Order
from hotswap.host.process import _Connection

ANSWERS = [b"first", Refusal(Code.MISTYPED_FIELD, "row 0: é is not a number"), b"", b"last"]


def body_of(frame: bytes) -> bytes:
    (length,) = frames.LENGTH.unpack_from(frame)
    assert length == len(frame) - 4
    return frame[4:]


def answered(batch: ScoredBatch) -> bytes:
    return frames.parse_frame(body_of(frames.pack_answers(7, batch))).payload


def test_answers_come_back_in_order_with_refusals_and_unknown_categories():
    frame = frames.parse_frame(body_of(frames.pack_answers(7, ScoredBatch(list(ANSWERS), {"color": 3}))))

    assert (frame.kind, frame.ticket) == (Kind.ANSWER, 7)
    assert frames.parse_answers(frame.payload, 4) == (ANSWERS, {"color": 3})


def test_an_empty_answer_is_a_message_and_not_a_refusal():
    assert frames.parse_answers(answered(ScoredBatch([b""], {})), 1).answers == [b""]


def test_an_announcement_out_of_order_is_rejected():
    frame = frames.parse_frame(body_of(frames.pack_announcement(3, 5)))

    frames.check_announcement(frame.payload, 5)
    with pytest.raises(FrameError, match="6 was not announced"):
        frames.check_announcement(frame.payload, 6)


def test_steps_follow_each_other_and_none_comes_again():
    loading, warming = (
        frames.parse_frame(body_of(frames.pack_step(step))).payload for step in (StartStep.LOADING, StartStep.WARMING)
    )

    assert frames.parse_step(loading, StartStep.STARTING) is StartStep.LOADING
    assert frames.parse_step(warming, StartStep.LOADING) is StartStep.WARMING
    for payload in (loading, warming, struct.pack("<I", 4), b""):
        with pytest.raises(FrameError, match="it was warming up"):
            frames.parse_step(payload, StartStep.WARMING)


@pytest.mark.parametrize("count", [0, 3, 5, 1 << 20])
def test_answers_to_another_number_of_requests_are_rejected(count):
    with pytest.raises(FrameError):
        frames.parse_answers(answered(ScoredBatch(list(ANSWERS), {})), count)


def test_truncated_answers_are_rejected():
    payload = answered(ScoredBatch(list(ANSWERS), {"color": 3}))

    for end in range(len(payload)):
        with pytest.raises(FrameError):
            frames.parse_answers(payload[:end], len(ANSWERS))


def test_a_length_beyond_the_frame_is_rejected():
    payload = struct.pack("<4I", 13, 2, 1, 0xFFFFFFFF) + b"a" + struct.pack("<I", 0) + b"{}"

    with pytest.raises(FrameError, match="strings that end at byte 4294967308 do not fill a buffer of 13 bytes"):
        frames.parse_answers(payload, 2)


@pytest.mark.parametrize("unknown", [[], [1], 1, {"color": -1}, {"color": "many"}, {"color": True}])
def test_malformed_unknown_counts_are_rejected(unknown):
    payload = struct.pack("<4I", 8, 1, 0, 0) + json.dumps(unknown).encode()

    with pytest.raises(FrameError):
        frames.parse_answers(payload, 1)


@pytest.mark.parametrize(
    ("told", "places"),
    [
        (b"HOST_CRASHED ", (1,)),
        (b"HOST_CRASHED ", (0, 0)),
        (b"HOST_CRASHED ", (0,) * 1000),
        (b"NO_SUCH_CODE ", (0,)),
        (b"\xff ", (0,)),
        (b"", (0,)),
    ],
)
def test_malformed_refusals_are_rejected(told, places):
    values = struct.pack("<2I", 1, len(told)) + told
    tail = struct.pack(f"<{1 + len(places)}I", len(places), *places)

    with pytest.raises(FrameError):
        frames.parse_answers(struct.pack("<I", len(values)) + values + tail + b"{}", 1)


def test_more_values_than_requests_are_rejected_without_being_unpacked(monkeypatch):
    payload = struct.pack("<2I", 4 + 4 * 1000, 1000) + bytes(4 * 1000)
    monkeypatch.setattr(frames.Packed, "__iter__", lambda _: pytest.fail("they were unpacked"))

    with pytest.raises(FrameError, match="batch of 1 requests was answered with 1000 values"):
        frames.parse_answers(payload, 1)


def test_unknown_columns_that_take_more_than_64_kib_are_not_parsed(monkeypatch):
    monkeypatch.setattr(frames.json, "loads", lambda _: pytest.fail("it was parsed"))

    with pytest.raises(FrameError, match="counts of unknown categories take 65,537 bytes"):
        frames.parse_answers(struct.pack("<4I", 8, 1, 0, 0) + bytes((64 << 10) + 1), 1)


def test_of_very_many_unknown_columns_those_with_the_highest_counts_are_reported():
    unknown = {f"column_{number:06}": number for number in range(1, 20_001)}

    told = frames.parse_answers(answered(ScoredBatch([b""], unknown)), 1).unknown

    assert 1_000 < len(told) < 20_000
    assert min(told.values()) > 20_000 - len(told)


@pytest.mark.parametrize("kind", [Kind.READY, Kind.FAILED, Kind.ANNOUNCE, Kind.PREPARED, Kind.STEP])
def test_a_frame_larger_than_its_kind_allows_is_rejected_by_its_first_five_bytes(kind):
    connection = _Connection()
    begun = struct.pack("<IB", (1 << 20) + 1, kind)
    connection.get_buffer(-1)[:4] = begun[:4]
    connection.buffer_updated(4)
    assert connection._end is None

    connection.get_buffer(-1)[:1] = begun[4:]
    connection.buffer_updated(1)

    assert f"a {kind.name} frame of 1,048,577 bytes" in str(connection._end)


def test_unsolicited_frames_do_not_pile_up(monkeypatch):
    monkeypatch.setattr("hotswap.host.process.MAX_FRAME_BYTES", 10_000)
    connection = _Connection()
    said = frames.pack_announcement(1, 1)
    for _ in range(100):
        connection.get_buffer(-1)[: len(said)] = said
        connection.buffer_updated(len(said))

    assert "more than it was asked" in str(connection._end)
    assert 10 < len(connection._frames) < 100


def test_a_host_leaves_no_hole_of_its_buffer_s_size_in_the_heap():
    tracemalloc.start()
    try:
        connection = _Connection()
        taken, _ = tracemalloc.get_traced_memory()
        said = frames.pack_announcement(1, 1)
        length = len(connection.get_buffer(-1))
        connection.get_buffer(-1)[: len(said)] = said
        connection.buffer_updated(len(said))
    finally:
        tracemalloc.stop()

    assert len(connection._frames) == 1
    assert taken < 8 << 10 < length


@pytest.mark.parametrize("code", ["NO_SUCH_CODE", None, ["MODEL_INVALID"]])
def test_an_unknown_code_from_a_child_becomes_host_failed(code):
    error = frames.parse_failure(json.dumps({"code": code, "message": "why"}).encode())

    assert (error.code, error.message) == (SwapCode.HOST_FAILED, "why")


def test_facts_nested_too_deeply_are_rejected():
    with pytest.raises(FrameError):
        frames.parse_facts(b"[" * 100_000)


@pytest.mark.parametrize("body", [b"", b"\x04", b"\x09\x00\x00\x00\x00", b"\x00\x00\x00\x00\x00"])
def test_a_frame_of_an_unknown_kind_is_rejected(body):
    with pytest.raises(FrameError):
        frames.parse_frame(body)


def test_the_message_of_a_refusal_is_bounded_and_valid_utf8():
    refusal = Refusal(Code.MODEL_ERROR, "\ud800" + "x" * 100_000)

    (told,) = frames.parse_answers(answered(ScoredBatch([refusal], {})), 1).answers

    assert isinstance(told, Refusal)
    assert len(told.message.encode()) < 5_000


def test_the_child_reads_the_parents_messages_and_then_the_end():
    order = Order(
        ground=Ground(kind="h2o", heap_mb=64, jvm_library="libjvm.so", jvm_options=(), classpath=()),
        model="m.zip",
        proto=b"",
        is_descriptor_set=False,
        configuration=Configuration(columns=frozen({"a": "b"}), missing=Policy.REFUSE),
        samples=(b"s",),
    )
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(frames.pack_prepare(order.ground, order) + frames.pack_load(order))
            ours.sendall(frames.pack_batch("score", 1, [b"v", b""], None))
        assert frames.receive(theirs) == ("prepare", order.ground, order)
        assert frames.receive(theirs) == ("load", order)
        *said, values = frames.receive(theirs)
        assert (said, list(values)) == (["score", 1, None], [b"v", b""])
        assert frames.receive(theirs) is None
