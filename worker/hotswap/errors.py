"""Errors sorted by what the caller does next; each one's docstring says when it is raised."""

from enum import StrEnum
from typing import Final

_DOUBLINGS: Final = 60  # beyond any bound; 2.0 ** 1024 is no float


class SwapCode(StrEnum):
    """Why a command was refused, or a generation could not be staged: `code` on the status topic and in the metrics.

    A refusal is the same on every worker, for all read the same control log. A failed staging is one worker's own, and
    what served before goes on serving.
    """

    MALFORMED = "MALFORMED"
    """Refuses the command: it lacks an id, a kind or a part's address, or a part of it cannot be read. Correct it."""
    STALE = "STALE"
    """Refuses the command: its generation is not greater than the newest one accepted, for another command came first.
    Look at `hotswap status`, then send it again with the next number."""
    EQUIVOCATION = "EQUIVOCATION"
    """Refuses the command: its id was used before, with other content. Give each command an id of its own."""
    EXPIRED = "EXPIRED"
    """Refuses the command: it reached the control topic after its `not_after`. Send it again if it is still wanted."""
    INCOMPLETE = "INCOMPLETE"
    """Refuses the command: a deployment's first generation must name a model and a proto; it has nothing to inherit."""
    UNKNOWN_BASE = "UNKNOWN_BASE"
    """Refuses the command: the generation that it inherits from, or rolls back to, was never accepted."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """Refuses the command: its generation is more than 2^53 above the newest one accepted. Take a lower number, or,
    where none is left, continue under another name (`hotswap move`)."""
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    """Refuses the command where an inline proto does not have the SHA-256 that the command gives; fails the staging
    where an artifact does not. Upload the file again, and publish it with its digest."""
    ARTIFACT_UNREACHABLE = "ARTIFACT_UNREACHABLE"
    """Fails the staging: the model or the proto could not be fetched from the store, or not in time. Check its address,
    the store, and this worker's credentials."""
    ARTIFACT_INVALID = "ARTIFACT_INVALID"
    """Fails the staging: the file is too large, or is an archive that is damaged or unsafe to unpack. Publish the file
    that the training wrote, unchanged."""
    CACHE_FAILED = "CACHE_FAILED"
    """Fails the staging: this worker cannot write to its cache, or files were removed from it. Free some space, or set
    HOTSWAP_CACHE to another folder."""
    PROTO_INVALID = "PROTO_INVALID"
    """Fails the staging: the proto does not compile, or is too large. The message has protoc's lines."""
    NO_OPERATION = "NO_OPERATION"
    """Fails the staging: the proto declares no rpc, so there is nothing to serve. Add a service with one."""
    MODEL_INVALID = "MODEL_INVALID"
    """Fails the staging: the artifact is no model of its kind, or is damaged, or cannot be instantiated."""
    MODEL_UNSUPPORTED = "MODEL_UNSUPPORTED"
    """Fails the staging: the kind of model, or something that this model needs, is not supported."""
    CONFIGURATION_INVALID = "CONFIGURATION_INVALID"
    """Fails the staging: the configuration has an option that the model's runtime does not know, gives one a value that
    it cannot have, or asks for a longer deadline than the worker allows (HOTSWAP_MAX_DEADLINE_MS)."""
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    """Fails the staging: the model and the proto do not fit each other. The message lists each column that does not,
    one per line."""
    SAMPLE_REFUSED = "SAMPLE_REFUSED"
    """Fails the staging: the new generation refuses a sample that came with the command. Correct the sample, or the
    model."""
    HOST_FAILED = "HOST_FAILED"
    """Fails the staging: the model host could not be started, or died while it loaded the model. The message and the
    worker's log say how it ended."""
    HOST_TOO_SLOW = "HOST_TOO_SLOW"
    """Fails the staging: the model host did not load the model within its time."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """Fails the staging: it took longer than the command's `deadline_ms`, or HOTSWAP_SWAP_DEADLINE_MS, allows. Raise
    it."""


class HotswapError(Exception):
    """Root of all errors of ours; its text is the line that a person reads: what, where, and what to do."""


class StartError(HotswapError):
    """Stop: this process cannot work as it is set up (settings, topics, Java, Kafka out of reach)."""


class UsageError(HotswapError):
    """Stop: the command line or the call asks for something that cannot be."""


class Doubt(HotswapError):
    """Rewind and try again: whether a Kafka call took effect is not known, so the producer is thrown away."""


class SwapError(HotswapError):
    """Reject the command, or the swap, and keep serving: `code` says why.

    The message says what does not fit, line by line where it is a list of columns.
    """

    def __init__(self, code: SwapCode, message: str) -> None:
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


def pause_before(attempt: int, *, first: float, most: float) -> float:
    """Seconds before what failed is tried for the `attempt`-th time, from 1: twice as many each time, at most `most`.

    Of our own, for it only says a number: stamina and tenacity repeat a call until it works, and what is tried again
    here waits in a loop that does other things meanwhile, or is decided without a clock.
    """
    return min(first * 2.0 ** min(attempt - 1, _DOUBLINGS), most)
