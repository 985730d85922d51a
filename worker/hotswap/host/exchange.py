"""The exchange of batches with a host's process: each has a ticket, and a deadline for each frame that answers it."""

import asyncio
from collections.abc import Callable, Sequence

from hotswap.batch import Answer, Code, Refusal
from hotswap.host import frames
from hotswap.host.frames import Frame, FrameError, Kind
from hotswap.host.process import HostGone, HostProcess


class Exchange:
    """Sends one batch at a time and receives its answers; late answers to earlier ones are skipped."""

    def __init__(self, deadline_s: float, on_unknown: Callable[[str, int], None]) -> None:
        """`on_unknown` gets each column with unknown categories, and how many."""
        self._deadline_s = deadline_s
        self._on_unknown = on_unknown
        self.ticket = 0
        """The last batch's."""

    def send(self, process: HostProcess | None, pack: Callable[[int], bytes]) -> None:
        """Send the frame that `pack` makes of a new ticket. Raises HostGone if there is no process."""
        if process is None:
            raise HostGone("it was killed")
        self.ticket = (self.ticket + 1) & 0xFFFFFFFF
        process.send(pack(self.ticket))

    async def next(self, process: HostProcess | None, kind: Kind) -> Frame:
        """Return the next frame of the batch. Raises HostGone, FrameError if it is of another kind, or TimeoutError."""
        if process is None:
            raise HostGone("it was killed")
        async with asyncio.timeout(self._deadline_s):
            # Others are late answers to a batch whose caller was cancelled.
            while (frame := await process.receive()).ticket != self.ticket:
                pass
        if frame.kind is not kind:
            raise FrameError(f"expected {kind.name}, received {frame.kind.name}")
        return frame

    async def answers(self, process: HostProcess | None, count: int) -> Sequence[Answer]:
        """Return the answers to `count` requests. Raises as `next` does."""
        frame = await self.next(process, Kind.ANSWER)
        answers, unknown = frames.parse_answers(frame.payload, count)
        for column, times in unknown.items():
            self._on_unknown(column, times)
        return answers

    def refusal(self, error: Exception, how: str) -> Refusal:
        """Return the refusal of a request that ended a process by itself, by this error; `how`: how that ended."""
        if isinstance(error, TimeoutError):
            message = f"the model did not answer this request by itself within {self._deadline_s * 1e3:.0f} ms"
            return Refusal(Code.HOST_TOO_SLOW, message)
        return Refusal(Code.HOST_CRASHED, f"the model host died while it scored this request by itself: {how}")
