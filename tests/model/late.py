"""What may happen to transactions besides: their version changes, and the network delivers what was done long ago."""

from hypothesis import strategies as st

from model.chances import event
from model.happenings import Happenings


class Late(Happenings):
    """The world, with late copies of requests."""

    @event(1, version=st.sampled_from([1, 2, 2]))
    def feature(self, version: int) -> None:
        """An operator raises or lowers `transaction.version`."""
        self.world.transaction_version = version

    @event(3, which=st.integers(0, 5))
    def late_copy(self, which: int) -> None:
        """The network delivers once more what was carried out, perhaps long ago."""
        if copies := self.world.copies:
            copies[-1 - which % len(copies)].answer()
