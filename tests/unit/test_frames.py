"""The frames of a model host: what the child says is checked before it is believed."""

import json
import socket
import struct

import pytest

from worker.batch import Code, Refusal
from worker.generation import Configuration, Policy, frozen
from worker.host import frames
from worker.host.frames import Answers, FrameError, Ground, Kind, Order

ANSWERS = [b"first", Refusal(Code.MISTYPED_FIELD, "row 0: é is no number"), b"", b"last"]


def body_of(frame: bytes) -> bytes:
    (length,) = frames.LENGTH.unpack_from(frame)
    assert length == len(frame) - 4
    return frame[4:]


def answered(batch: Answers) -> bytes:
    return frames.parse_frame(body_of(frames.pack_answers(7, batch))).payload


def test_answers_come_back_in_order_with_refusals_and_unknown_categories():
    frame = frames.parse_frame(body_of(frames.pack_answers(7, Answers(list(ANSWERS), {"color": 3}))))

    assert (frame.kind, frame.ticket) == (Kind.ANSWER, 7)
    assert frames.parse_answers(frame.payload, 4) == (ANSWERS, {"color": 3})


def test_an_empty_answer_is_a_message_and_no_refusal():
    assert frames.parse_answers(answered(Answers([b""], {})), 1).answers == [b""]


def test_an_announcement_out_of_turn_is_refused():
    frame = frames.parse_frame(body_of(frames.pack_announcement(3, 5)))

    frames.check_announcement(frame.payload, 5)
    with pytest.raises(FrameError, match="6 was not announced"):
        frames.check_announcement(frame.payload, 6)


@pytest.mark.parametrize("count", [0, 3, 5, 1 << 20])
def test_answers_to_another_number_of_requests_are_refused(count):
    with pytest.raises(FrameError):
        frames.parse_answers(answered(Answers(list(ANSWERS), {})), count)


def test_answers_cut_short_anywhere_are_refused():
    payload = answered(Answers(list(ANSWERS), {"color": 3}))

    for end in range(len(payload)):
        with pytest.raises(FrameError):
            frames.parse_answers(payload[:end], len(ANSWERS))


def test_a_length_beyond_the_frame_is_refused():
    payload = struct.pack("<4I", 13, 2, 1, 0xFFFFFFFF) + b"a{}"

    with pytest.raises(FrameError, match="strings that end at 4294967308 are in 13 bytes"):
        frames.parse_answers(payload, 2)


@pytest.mark.parametrize(
    "facts",
    [
        [],
        {"refused": 1},
        {"refused": [[0, "HOST_CRASHED"]]},
        {"refused": [[1, "HOST_CRASHED", ""]]},
        {"refused": [[-1, "HOST_CRASHED", ""]]},
        {"refused": [[True, "HOST_CRASHED", ""]]},
        {"refused": [[0, "NO_SUCH_CODE", ""]]},
        {"unknown": {"color": -1}},
        {"unknown": {"color": "many"}},
        {"unknown": [1]},
    ],
)
def test_facts_that_are_none_are_refused(facts):
    payload = struct.pack("<3I", 8, 1, 0) + json.dumps(facts).encode()

    with pytest.raises(FrameError):
        frames.parse_answers(payload, 1)


def test_facts_nested_too_deep_are_refused():
    with pytest.raises(FrameError):
        frames.parse_facts(b"[" * 100_000)


@pytest.mark.parametrize("body", [b"", b"\x04", b"\x09\x00\x00\x00\x00", b"\x00\x00\x00\x00\x00"])
def test_a_frame_of_no_known_kind_is_refused(body):
    with pytest.raises(FrameError):
        frames.parse_frame(body)


def test_a_message_of_a_refusal_is_bounded_and_sound_text():
    refusal = Refusal(Code.MODEL_ERROR, "\ud800" + "x" * 100_000)

    (told,) = frames.parse_answers(answered(Answers([refusal], {})), 1).answers

    assert isinstance(told, Refusal)
    assert len(told.message.encode()) < 5_000


def test_the_child_reads_what_the_parent_wrote_and_then_the_end():
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
