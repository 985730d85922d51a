"""Decompresses record batches, for each of Kafka's codecs, up to a bound."""

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import cramjam

_GZIP, _SNAPPY, _LZ4, _ZSTD = 1, 2, 3, 4
_XERIAL = struct.Struct(">8sii")
_XERIAL_HEAD = (b"\x82SNAPPY\0", 1, 1)
_FIRST_TRY_BYTES = 1 << 16


class Unparseable(Exception):
    """Refuse every record that should be there: the bytes are malformed."""


def unpack(codec: int, packed: memoryview, bound: int) -> tuple[memoryview, bool]:
    """Decompress at most `bound` bytes; return them, and whether that is all.

    Raises:
        Unparseable: unknown codec, or malformed data.

    """
    try:
        if codec == _GZIP:
            return _gunzip(packed, bound)
        if codec == _SNAPPY:
            return _unsnap(packed, bound)
        if codec == _LZ4:
            return _into(cramjam.lz4.decompress_into, packed, bound)
        if codec == _ZSTD:
            return _into(cramjam.zstd.decompress_into, packed, bound)
    except (cramjam.DecompressionError, zlib.error, struct.error, ValueError) as error:
        raise Unparseable(str(error)) from error
    raise Unparseable(f"unknown codec {codec}")


def _into(decompress: Any, packed: memoryview, bound: int) -> tuple[memoryview, bool]:
    size = min(bound, max(_FIRST_TRY_BYTES, 8 * len(packed)))
    while True:
        buffer = bytearray(size)
        try:
            count = decompress(packed, buffer)
        except cramjam.DecompressionError as error:
            if "whole buffer" not in str(error):
                raise
            # The whole buffer holds correct data; the rest does not fit.
            if size == bound:
                return memoryview(buffer), False
            size = min(bound, 8 * size)
        else:
            return memoryview(buffer)[:count], True


def _gunzip(packed: memoryview, bound: int) -> tuple[memoryview, bool]:
    found, rest = bytearray(), bytes(packed)
    while rest and len(found) <= bound:
        member = zlib.decompressobj(wbits=31)
        found += member.decompress(rest, bound + 1 - len(found))
        if len(found) > bound:
            break
        if not member.eof:
            raise Unparseable("gzip data ends too early")
        rest = member.unused_data.lstrip(b"\0")
    return memoryview(found)[:bound], len(found) <= bound


def _unsnap(packed: memoryview, bound: int) -> tuple[memoryview, bool]:
    if len(packed) <= _XERIAL.size or _XERIAL.unpack_from(packed) != _XERIAL_HEAD:
        return _unsnap_blocks([packed], bound)
    blocks, at = [], _XERIAL.size
    while at < len(packed):
        (size,) = struct.unpack_from(">i", packed, at)
        at += 4
        if not 0 <= size <= len(packed) - at:
            raise Unparseable(f"a block claims {size} bytes")
        blocks.append(packed[at : at + size])
        at += size
    return _unsnap_blocks(blocks, bound)


def _unsnap_blocks(blocks: Sequence[memoryview], bound: int) -> tuple[memoryview, bool]:
    found = bytearray()
    for block in blocks:
        size = cramjam.snappy.decompress_raw_len(block)
        if len(found) + size > bound:
            return memoryview(found), False
        found += cramjam.snappy.decompress_raw(block)
    return memoryview(found), True
