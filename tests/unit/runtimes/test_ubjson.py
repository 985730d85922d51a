"""Universal Binary JSON is read as its specification has it, and no document makes the reader hang or fall over."""

import numpy as np
import pytest

from hotswap.runtimes.xgboost.ubjson import parse_ubjson


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (b"{}", {}),
        (b"{U\x01ai\xffi\x01bZ}", {"a": -1, "b": None}),
        (b"{L" + (1).to_bytes(8) + b"aSU\x03\xc3\xbcx}", {"a": "üx"}),
        (b"[TFI\x01\x00l\x00\x00\x00\x02]", [True, False, 256, 2]),
        (b"[#U\x02d\x3f\x00\x00\x00D\x3f\xf8" + bytes(6), [0.5, 1.5]),
        (b"[[][#U\x00[$d#U\x00]", [[], [], []]),
    ],
)
def test_a_document_is_its_value(document: bytes, value: object) -> None:
    def plain(one: object) -> object:
        if isinstance(one, np.ndarray):
            return one.tolist()
        return list(map(plain, one)) if isinstance(one, list) else one

    assert plain(parse_ubjson(document)) == value


def test_an_array_of_numbers_is_not_copied() -> None:
    array = parse_ubjson(b"[$l#U\x02" + (7).to_bytes(4) + (1 << 31).to_bytes(4))

    assert array.tolist() == [7, -(1 << 31)]
    assert array.base is not None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "ends before the 1 bytes that follow byte 0"),
        (b"{", "ends before"),
        (b"{U\x05a", "ends before the 5 bytes that follow byte 3"),
        (b"{Sa", "byte 1 begins no name of a member"),
        (b"{U\x01a?", "b'\\?', which begins no value"),
        (b"[$d#L" + b"\xff" * 8, "ends before the -4 bytes"),
        (b"[$d#L" + (1 << 61).to_bytes(8), "ends before"),
        (b"[#L" + (1 << 61).to_bytes(8), "ends before"),
        (b"[$dL", "byte 3 is no count of an array"),
        (b"[$S#U\x01", "b'S', which begins no value"),
        (b"SU\x01\xff", "can't decode"),
        (b"[" * 1_000_000, "nested deeper than 64 levels"),
        (b"{U\x01a" * 1_000_000, "nested deeper than 64 levels"),
    ],
)
def test_a_document_that_is_none_is_a_value_error(document: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_ubjson(document)
