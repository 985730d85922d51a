"""Compresses record batches, and decompresses them up to a bound, by each of Kafka's codecs."""

import gzip
import struct
import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final

import cramjam

from hotswap.recordbatch.header import SIZE, Header, Unparseable
from hotswap.recordbatch.writer import Crc32c, finish


class Codec(IntEnum):
    """The codecs, by their numbers in a batch's attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


_XERIAL: Final = struct.Struct(">8sii")
_XERIAL_HEAD: Final = (b"\x82SNAPPY\0", 1, 1)
"""Java's framing of snappy: blocks, each preceded by its length."""
_XERIAL_BLOCK: Final = 32 << 10
_BLOCK_LENGTH: Final = struct.Struct(">i")
_FIRST_TRY_BYTES: Final = 1 << 16


def compressed(batch: memoryview, codec: Codec, crc32c: Crc32c) -> memoryview:
    """Return a finished, uncompressed batch compressed; the same one for `Codec.NONE`."""
    if codec is Codec.NONE:
        return batch
    header = Header.read(batch)
    output = bytearray(SIZE) + _compress(codec, bytes(batch[SIZE:]))
    finish(output, header._replace(attributes=header.attributes | codec), crc32c)
    return memoryview(output)


def _compress(codec: Codec, records: bytes) -> bytes:
    # The levels of lz4 and zstd are the quickest.
    if codec is Codec.GZIP:
        return gzip.compress(records)
    if codec is Codec.SNAPPY:
        blocks = [
            bytes(cramjam.snappy.compress_raw(records[at : at + _XERIAL_BLOCK]))
            for at in range(0, len(records), _XERIAL_BLOCK)
        ]
        return b"".join(
            [_XERIAL.pack(*_XERIAL_HEAD), *(part for one in blocks for part in (_BLOCK_LENGTH.pack(len(one)), one))]
        )
    if codec is Codec.LZ4:
        # Brokers take independent blocks only (KIP-57).
        compressor = cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False)
        compressor.compress(records)
        return bytes(compressor.finish())
    return bytes(cramjam.zstd.compress(records, level=1))


def decompress(codec: int, packed: memoryview, bound: int) -> tuple[memoryview, bool]:
    """Decompress at most `bound` bytes; return them, and whether that is all.

    Raises:
        Unparseable: unknown codec, or malformed data.

    """
    try:
        if codec == Codec.GZIP:
            return _gunzip(packed, bound)
        if codec == Codec.SNAPPY:
            return _unsnap(packed, bound)
        if codec == Codec.LZ4:
            return _into(cramjam.lz4.decompress_into, packed, bound)
        if codec == Codec.ZSTD:
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
    unpacked, rest = bytearray(), bytes(packed)
    while rest and len(unpacked) <= bound:
        member = zlib.decompressobj(wbits=31)
        unpacked += member.decompress(rest, bound + 1 - len(unpacked))
        if len(unpacked) > bound:
            break
        if not member.eof:
            raise Unparseable("gzip data ends too early")
        rest = member.unused_data.lstrip(b"\0")
    return memoryview(unpacked)[:bound], len(unpacked) <= bound


def _unsnap(packed: memoryview, bound: int) -> tuple[memoryview, bool]:
    if len(packed) <= _XERIAL.size or _XERIAL.unpack_from(packed) != _XERIAL_HEAD:
        return _unsnap_blocks([packed], bound)
    blocks, at = [], _XERIAL.size
    while at < len(packed):
        (size,) = _BLOCK_LENGTH.unpack_from(packed, at)
        at += _BLOCK_LENGTH.size
        if not 0 <= size <= len(packed) - at:
            raise Unparseable(f"a block claims {size} bytes")
        blocks.append(packed[at : at + size])
        at += size
    return _unsnap_blocks(blocks, bound)


def _unsnap_blocks(blocks: Sequence[memoryview], bound: int) -> tuple[memoryview, bool]:
    unpacked = bytearray()
    for block in blocks:
        size = cramjam.snappy.decompress_raw_len(block)
        if len(unpacked) + size > bound:
            return memoryview(unpacked), False
        unpacked += cramjam.snappy.decompress_raw(block)
    return memoryview(unpacked), True
