"""Errors classified by the caller's next action; each docstring begins with that action, then says why."""

from enum import StrEnum
from typing import Final

_DOUBLINGS: Final = 60  # beyond any bound; 2.0 ** 1024 overflows


class SwapCode(StrEnum):
    """Why a command was refused, or a generation could not be staged: `code` on the status topic and in the metrics.

    A refusal is the same on every worker, since all read the same control log. A failed staging concerns one worker
    only, and the serving generation keeps serving.
    """

    MALFORMED = "MALFORMED"
    """Refuses the command: its id, its kind or the URI of a part is missing, or a part cannot be read. Correct it."""
    STALE = "STALE"
    """Refuses the command: its generation is not greater than the newest one accepted: another command came first.
    Look at `hotswap status`, then send it again with the next number."""
    EQUIVOCATION = "EQUIVOCATION"
    """Refuses the command: its id was used before with different content. Give each command its own id."""
    EXPIRED = "EXPIRED"
    """Refuses the command: it reached the control topic after its `not_after`. Send it again if it is still wanted."""
    INCOMPLETE = "INCOMPLETE"
    """Refuses the command: a deployment's first generation must name a model and a proto, as it has nothing to
    inherit."""
    UNKNOWN_BASE = "UNKNOWN_BASE"
    """Refuses the command: the generation that it inherits from, or rolls back to, was never accepted."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """Refuses the command: its generation is more than 2^53 above the newest one accepted. Choose a lower number, or,
    if none is left, continue under another name (`hotswap move`)."""
    SIGNATURE_MISSING = "SIGNATURE_MISSING"
    """Refuses the command: it is not signed, and the control log requires that of this deployment's commands. Send it
    again with `--sign-with`, or HOTSWAP_SIGN_WITH."""
    SIGNATURE_INVALID = "SIGNATURE_INVALID"
    """Refuses the command: its signature is not one of these bytes by this key for this control topic and cluster.
    Somebody has altered, copied or forged it, unless a publisher signs wrongly. In `hotswap swap --verify-with`: the
    model is not what its signature says, or another key made that; the message names the files, and nothing is sent."""
    NOT_TRUSTED = "NOT_TRUSTED"
    """Refuses the command: the trust file has no such key, or the key may not give this command, or not for this
    deployment, or not now. Sign it with one that may (`hotswap keys list`)."""
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    """Refuses the command if an inline proto does not match the command's SHA-256; fails the staging if an artifact
    does not match. Upload the file again, and publish it with its digest."""
    URI_DENIED = "URI_DENIED"
    """Fails the staging: the URI of the model, the proto or the golden answers lies outside of the stores that this
    worker may fetch from, or a link or a redirect leads there; nothing was opened. Upload it to one of them, or name
    its store in HOTSWAP_ALLOWED_STORES on every worker."""
    ARTIFACT_UNREACHABLE = "ARTIFACT_UNREACHABLE"
    """Fails the staging: the model, the proto or the golden answers could not be fetched from the store, or not in
    time. Check its URI, the store, and this worker's credentials."""
    ARTIFACT_INVALID = "ARTIFACT_INVALID"
    """Fails the staging: the file is too large, or is an archive that is damaged or unsafe to unpack, or golden answers
    in a format that is not known here. Publish the file exactly as the training wrote it."""
    CACHE_FAILED = "CACHE_FAILED"
    """Fails the staging: this worker cannot write to its cache, or files were removed from it. Free some space, or set
    HOTSWAP_CACHE to another folder."""
    PROTO_INVALID = "PROTO_INVALID"
    """Fails the staging: the proto does not compile, or is too large. The message quotes protoc."""
    NO_OPERATION = "NO_OPERATION"
    """Fails the staging: the proto declares no rpc, so there is nothing to serve. Add a service with one."""
    KIND_MISSING = "KIND_MISSING"
    """Fails the staging, or refuses the command before it is written if a live worker says so: its installation cannot
    load this kind of model. Install the extra that the message names, or upgrade it; or stop that worker."""
    ENVIRONMENT_INVALID = "ENVIRONMENT_INVALID"
    """Fails the staging: the environment of a Python model cannot be made. Its lock is not one with hashes, a package
    cannot be installed on this machine from the worker's index (HOTSWAP_PYTHON_INDEX) or from the model's own wheels,
    no Python of HOTSWAP_PYTHONS has the version that the model names, or the environment is too large. The message says
    which."""
    MODEL_INVALID = "MODEL_INVALID"
    """Fails the staging: the artifact is not a model of the given kind, is damaged, or cannot be instantiated."""
    MODEL_UNSUPPORTED = "MODEL_UNSUPPORTED"
    """Fails the staging: something that this model needs is not supported."""
    CONFIGURATION_INVALID = "CONFIGURATION_INVALID"
    """Fails the staging: the configuration has an option that the model's runtime does not know or a value that is not
    allowed, or asks for a longer deadline than the worker allows (HOTSWAP_MAX_DEADLINE_MS)."""
    SCHEMA_MISMATCH = "SCHEMA_MISMATCH"
    """Fails the staging: the model and the proto do not match. The message lists each column that does not fit, one per
    line."""
    SAMPLE_REFUSED = "SAMPLE_REFUSED"
    """Fails the staging: the new generation refuses a sample that came with the command, or its answer to a sample or
    to a made-up row is larger than the predictions topic allows. Correct the sample, the model or the proto."""
    GOLDEN_MISMATCH = "GOLDEN_MISMATCH"
    """Fails the staging: the new generation gives golden rows other answers than they expect, or refuses some. The
    message lists the first differences, one per line: row, field, expected value and the one that it got. If the new
    answers are right, swap with other golden answers, or `--golden none`."""
    HOST_FAILED = "HOST_FAILED"
    """Fails the staging: the model host could not be started, or died before it was ready. The message and the worker's
    log say what it was doing and how it ended."""
    HOST_TOO_SLOW = "HOST_TOO_SLOW"
    """Fails the staging in `hotswap score` and `hotswap pack`, where no swap's deadline applies: the model host did not
    load the model in time."""
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    """Fails the staging: it took longer than the command's `deadline_ms`, or HOTSWAP_SWAP_DEADLINE_MS, allows. The
    message says what it was doing. Raise the deadline, if it only needs longer."""


class HotswapError(Exception):
    """Base class of all Hotswap errors; its text, for a person, has the fault, its place and the remedy."""


class StartError(HotswapError):
    """Stop: this process cannot work as it is configured (settings, topics, Java, Kafka unreachable)."""


class TooOld(StartError):
    """Stop, and upgrade the program that raises it: a command of the control log requires a later version."""


class Unreachable(StartError):
    """Stop, or start again soon, if Kafka was there before: nothing listens at its addresses."""


class Unanswered(Unreachable):
    """Stop, or start again soon: Kafka does not answer in time, as while a broker is at fault."""


class UsageError(HotswapError):
    """Stop: the command line or the call asks for something impossible."""


class NotReady(UsageError):
    """Wait, or stop: a live worker does not have yet what is to be promoted."""


class Doubt(HotswapError):
    """Rewind and retry: a Kafka call is in doubt (it may or may not have taken effect); discard the producer."""


class Denied(Doubt):
    """Hold, and look again soon, or stop: this user lacks a right, which only somebody else can grant."""


class SwapError(HotswapError):
    """Refuse the command, or fail the swap, and keep serving: `code` says why.

    The message says what does not fit, one line per column for a list of columns.
    """

    def __init__(self, code: SwapCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class DamagedBatch(HotswapError):
    """Hold the partition: its next batch is corrupt, and stays so however often it is fetched."""

    def __init__(self, offset: int) -> None:
        super().__init__(f"the batch at offset {offset} is damaged: its checksum does not match")
        self.offset = offset


class TopicMismatch(HotswapError):
    """Hold the partition, and look again soon: a topic of its answers is gone, too small, or flooded by others."""


class NoAnswer(HotswapError):
    """Check the fleet, then retry: no worker answered in time, and one may still do so."""


class HostError(HotswapError):
    """Hold the partition and retry: the model host died and could not be restarted."""


class ModelError(HotswapError):
    """Refuse the request and continue: the model raised an error while scoring it."""


def what_to_do(message: str) -> tuple[str, str]:
    """Split a message at the colon before its advice; a colon in parentheses belongs to a quoted message."""
    depth = 0
    for at, char in enumerate(message):
        depth += (char == "(") - (char == ")")
        if not depth and message.startswith(": ", at):
            return message[:at], message[at + 2 :]
    return message, ""


def pause_before(attempt: int, *, first: float, most: float) -> float:
    """Return the back-off before retry `attempt` (counted from 1), seconds: `first`, doubled each time, up to `most`.

    Hand-written, because callers need only the number: stamina and tenacity repeat a call until it succeeds, but our
    retries wait in loops that do other work meanwhile, or are decided without a clock.
    """
    return min(first * 2.0 ** min(attempt - 1, _DOUBLINGS), most)
