"""Records of the status topic: made from what a worker knows, and kept within the topic's limit."""

from collections.abc import Mapping, Sequence

from hotswap.printable import cut, few
from hotswap.v1 import control_pb2 as wire

SHORTENED = (10_000, 1_000, 100, 0)
"""To how many characters a text is shortened, one length after the other, until its record is small enough."""


def field_paths(reads: Mapping[str, Sequence[str]], fields: Mapping[str, str]) -> wire.FieldPaths:
    """Return the fields of an operation that the model reads, and its columns that are named differently from them."""
    known = {path: wire.KnownValues(values=values) for path, values in reads.items() if values}
    return wire.FieldPaths(paths=reads, known=known, columns=fields)


def shorten(status: wire.Status, most: int) -> None:
    """Shorten the human-readable texts of a status until it has at most `most` bytes, and mark each shortened text."""
    worker = status.worker if status.HasField("worker") else None
    swap = status.swap if status.HasField("swap") else None
    paths = dict(worker.paths) if worker else {}
    for longest in SHORTENED:
        if status.ByteSize() <= most:
            return
        for part in worker.partitions if worker else ():
            part.held = cut(part.held, longest)
        if worker and (kept := few(paths, longest)) != paths:
            worker.paths.clear()
            worker.paths.update(kept)
        if swap:
            swap.reads.clear()
            swap.message = cut(swap.message, longest)
