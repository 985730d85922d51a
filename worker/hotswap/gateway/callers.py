"""Callers: a TOML file of tokens and client certificates with their roles, reloaded when it changes."""

import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from hotswap.errors import UsageError

log = logging.getLogger(__name__)


class CallerRole(StrEnum):
    """A permission of a caller; none includes another."""

    PREDICT = "predict"
    """Encode and score rows with the serving generation."""
    SCORE = "score"
    """Score rows with a model sent in the request."""
    SWAP = "swap"
    """Swap, roll back, pause and resume."""
    READ = "read"
    """See the serving generation, the history and the dead letters."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: a name for the log, and its roles."""

    name: str
    roles: frozenset[CallerRole]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    roles: Annotated[frozenset[CallerRole], Field(min_length=1)]


class _Token(_Entry):
    name: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Certificate(_Entry):
    subject: Annotated[str, Field(min_length=1)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    token: tuple[_Token, ...] = ()
    certificate: tuple[_Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entries:
    tokens: Sequence[tuple[str, Caller]]
    """The SHA-256 of each token, and its caller."""
    subjects: Mapping[str, Caller]


class Callers:
    """The callers in a file. Each look-up reads it, so that a removed token is invalid at once.

    Raises:
        UsageError: the file cannot be read, or an entry is invalid; the message names the entry. If that happens
            later, it is logged, and the callers stay as they are.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _read(path)
        self._known = _parse(self._seen, path)

    def by_token(self, token: bytes) -> Caller | None:
        """Return the caller with this token, None for an empty one. Timing reveals nothing about other tokens."""
        digest, match = sha256(token).hexdigest(), None
        for known, caller in self._current().tokens:
            if compare_digest(known, digest):
                match = caller
        return match if token else None

    def by_subject(self, subject: str) -> Caller:
        """Return the caller with a certificate of this subject; without roles if the file does not list it."""
        return self._current().subjects.get(subject) or Caller(subject, frozenset())

    def _current(self) -> _Entries:
        # Not by the file's times, which may not differ between versions; the file is small.
        if (seen := _read(self._path)) != self._seen:
            self._seen = seen
            try:
                self._known = _parse(seen, self._path)
            except UsageError as error:
                log.error("gateway.callers_kept", extra={"reason": str(error)})  # noqa: TRY400 - the reason says it all
            else:
                known = {"tokens": len(self._known.tokens), "certificates": len(self._known.subjects)}
                log.info("gateway.callers_read", extra={"file": str(self._path), **known})
        return self._known


def _read(path: Path) -> bytes | str:
    """Return the content of the file, or the reason that it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        return error.strerror or str(error)


def _parse(content: bytes | str, path: Path) -> _Entries:
    if isinstance(content, str):
        raise UsageError(f"{path} cannot be read: {content}")
    try:
        document = tomllib.loads(content.decode())
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from None
    if not document:  # as a file is for a moment while it is written
        raise UsageError(f"{path} has neither a [[token]] nor a [[certificate]]; `token = []` admits nobody")
    try:
        callers = _Document.model_validate(document)
    except ValidationError as error:
        faults = "; ".join(_fault(fault, document) for fault in error.errors())
        raise UsageError(f"{path}: {faults}") from None
    _check_unique(path, "token", "sha256", [one.sha256 for one in callers.token])
    _check_unique(path, "certificate", "subject", [one.subject for one in callers.certificate])
    return _Entries(
        [(one.sha256, Caller(one.name, one.roles)) for one in callers.token],
        {one.subject: Caller(one.subject, one.roles) for one in callers.certificate},
    )


def _fault(fault: ErrorDetails, document: Mapping[str, Any]) -> str:
    """Describe an invalid entry, without values that may be tokens."""
    kind, *rest = fault["loc"]
    if not rest:
        return f"{kind}: {fault['msg']}"
    number, *field = rest
    assert isinstance(number, int)
    entry = document[str(kind)][number]
    name = (entry.get("name") or entry.get("subject")) if isinstance(entry, dict) else None
    where = f"[[{kind}]] {number + 1}" + (f" ({name})" if isinstance(name, str) else "")
    if not field:
        return f"{where}: {fault['msg']}"
    if field[0] == "roles" and field[1:]:
        return f"{where}: {fault['input']!r} is no role: there are {', '.join(CallerRole)}"
    if field[0] == "sha256" and fault["type"] == "string_pattern_mismatch":
        return f"{where}: sha256 is not the SHA-256 of a token: 64 digits and letters from a to f"
    return f"{where}: {field[0]}: {fault['msg']}"


def _check_unique(path: Path, kind: str, field: str, values: Sequence[str]) -> None:
    for number, value in enumerate(values):
        if (first := values.index(value)) < number:
            raise UsageError(f"{path}: [[{kind}]] {number + 1}: {field} repeats that of [[{kind}]] {first + 1}")
