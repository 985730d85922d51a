"""A bound for the records kept of a topic that anybody may flood: the oldest are dropped first."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_RECORD_BYTES = 500  # memory of a kept record beyond its own bytes


class Kept(Generic[K]):
    """The keys of the kept records, oldest first, with the bytes of each."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._sizes: dict[K, int] = {}
        self._bytes = 0

    def keep(self, key: K, size: int) -> Iterator[K]:
        """Count a key as the newest, with a record of `size` bytes; yield the keys that are to be dropped."""
        self._bytes += size + _RECORD_BYTES - self._sizes.pop(key, 0)
        self._sizes[key] = size + _RECORD_BYTES
        while self._bytes > self._most and len(self._sizes) > 1:
            oldest = next(iter(self._sizes))
            self._bytes -= self._sizes.pop(oldest)
            yield oldest
