"""Errors sorted by what the caller does next; each one's docstring says when it is raised."""


class HotswapError(Exception):
    """Root of all errors of ours; its text is the line that a person reads: what, where, and what to do."""


class StartError(HotswapError):
    """Stop: this process cannot work as it is set up (settings, topics, Java, Kafka out of reach)."""


class UsageError(HotswapError):
    """Stop: the command line or the call asks for something that cannot be."""


class Doubt(HotswapError):
    """Rewind and try again: whether a Kafka call took effect is not known, so the producer is thrown away."""


class SwapError(HotswapError):
    """Reject the swap and keep serving: the generation cannot be staged.

    `code` is one of the upper-case words of ARCHITECTURE.md (DIGEST_MISMATCH, PROTO_INVALID, SCHEMA_MISMATCH, …), the
    text says what does not fit, line by line where it is a list of columns.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class DamagedBatch(HotswapError):
    """Hold the partition: its next batch is not what the broker was given, and stays so however often it is fetched."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the batch at offset {offset} is damaged: its checksum does not hold")
        self.offset = offset


class NoAnswer(HotswapError):
    """Look at the fleet, then try again: no worker answered in time, and whether one will is not known."""


class HostError(HotswapError):
    """Hold the partition and try again: the model host could not be started again after it died."""


class ModelError(HotswapError):
    """Refuse the request and go on: the model raised an error while it scored it."""
