"""Byte strings in one buffer: they are read as packed, and a malformed buffer is rejected."""

import struct

import pytest

from hotswap.codec.packed import Packed, pack

VALUES = [b"first", b"", b"\x00" * 300, b"last"]


@pytest.mark.parametrize("buffer", [bytes, bytearray, memoryview])
def test_packed_strings_are_read_in_order(buffer):
    packed = Packed(buffer(pack(VALUES)))

    assert (len(packed), list(packed)) == (4, VALUES)
    assert [packed[0], packed[-1], packed[1:3]] == [VALUES[0], VALUES[-1], VALUES[1:3]]
    assert all(type(value) is bytes for value in (*packed, packed[0]))
    with pytest.raises(IndexError):
        packed[4]


def test_no_strings_can_be_packed():
    assert list(Packed(pack([]))) == []


def test_a_malformed_buffer_is_rejected():
    whole = pack(VALUES)

    for end in range(len(whole)):
        with pytest.raises(ValueError, match="strings"):
            list(Packed(whole[:end]))
    with pytest.raises(ValueError, match="strings that end"):
        list(Packed(whole + b"x"))
    with pytest.raises(ValueError, match="cannot hold 4294967295 strings"):
        list(Packed(struct.pack("<I", 0xFFFFFFFF)))


def test_packed_strings_equal_the_same_strings_in_any_sequence():
    assert Packed(pack([b"a", b""])) == [b"a", b""] == Packed(pack([b"a", b""]))
    assert Packed(pack([b"a"])) != [b"b"]
    assert Packed(pack([])) != 0
