"""A broker's answers to a Fetch (versions 4 to 11), with record batches changed in transit."""

import struct

FETCH = 1
VERSIONS = range(4, 12)


def version_of(request):
    """Return the version of a size-prefixed request, if it is a Fetch that can be parsed here; otherwise None."""
    kind, version = struct.unpack_from(">hh", request, 4)
    return version if kind == FETCH and version in VERSIONS else None


def changed(answer, version, change):
    """Return a size-prefixed answer, with each batch replaced by `change(topic, partition, batch)`."""
    reading = _Reading(answer, 8)
    reading.skip(4)  # throttled for
    if version >= 7:
        reading.skip(6)  # error, session
    for _ in range(reading.number(">i")):
        topic = reading.take(reading.number(">h")).decode()
        for _ in range(reading.number(">i")):
            partition = reading.number(">i")
            reading.skip(2 + 8 + 8 + (8 if version >= 5 else 0))  # error, high watermark, last stable, start
            for _ in range(max(0, reading.number(">i"))):
                reading.skip(16)  # producer and first offset of an aborted transaction
            reading.skip(4 if version >= 11 else 0)  # preferred replica
            records = reading.take(max(0, reading.number(">i")), is_kept=False)
            made = b"".join(change(topic, partition, batch) for batch in _batches(records))
            reading.put(struct.pack(">i", len(made)) + made, instead_of=4)
    whole = reading.whole()
    return struct.pack(">i", len(whole) - 4) + whole[4:]


def _batches(records):
    """Change each batch, or message of an old format; an incomplete one at the end is not changed."""
    at = 0
    while at < len(records):
        size = 12 + int.from_bytes(records[at + 8 : at + 12], "big")
        yield records[at : at + size]
        at += size


class _Reading:
    """Reads through bytes and keeps what it has read."""

    def __init__(self, data, at):
        self._data = data
        self._at = at
        self._kept = 0
        self._parts = []

    def skip(self, count):
        self._at += count

    def number(self, form):
        (number,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return number

    def take(self, count, *, is_kept=True):
        taken = self._data[self._at : self._at + count]
        if not is_kept:
            self._parts.append(self._data[self._kept : self._at])
            self._kept = self._at + count
        self._at += count
        return taken

    def put(self, data, *, instead_of):
        """Replace the last bytes that were kept by `data`."""
        self._parts[-1] = self._parts[-1][:-instead_of] + data

    def whole(self):
        return b"".join([*self._parts, self._data[self._kept :]])
