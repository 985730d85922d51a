"""The trust file: public keys with their roles, their deployments, and from when until when each may sign."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from hotswap.errors import UsageError
from hotswap.trust.keys import PUBLIC_BYTES, check_installed, key_id
from hotswap.trust.roles import EVERY, SigningRole


class Key(BaseModel):
    """A public key, with its role and deployments."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    name: Annotated[str, Field(min_length=1)]
    public: bytes
    roles: Annotated[frozenset[SigningRole], Field(min_length=1)]
    deployments: Annotated[frozenset[str], Field(min_length=1)]
    not_before: AwareDatetime
    not_after: AwareDatetime

    @field_validator("public", mode="before")
    @classmethod
    def _decoded(cls, value: Any) -> bytes:
        try:
            raw = b64decode(value, validate=True)
        except (ValueError, TypeError):
            raw = b""
        if len(raw) != PUBLIC_BYTES:
            raise PydanticCustomError("no_key", "is not the base64 of an Ed25519 public key's 32 bytes")
        return raw

    @property
    def id(self) -> str:
        """Its id, which a signed record names."""
        return key_id(self.public)

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.id} ({self.name})"

    def commands(self, deployment: str) -> bool:
        """Whether it is for this deployment."""
        return not self.deployments.isdisjoint({EVERY, deployment})

    def document(self) -> str:
        """Return its entry in a trust file."""
        roles = ", ".join(_quoted(role) for role in SigningRole if role in self.roles)
        deployments = ", ".join(map(_quoted, sorted(self.deployments)))
        return f"""[[key]] # {self.id}
name = {_quoted(self.name)}
public = "{b64encode(self.public).decode()}"
roles = [{roles}]
deployments = [{deployments}]
not_before = {_stamp(self.not_before)}
not_after = {_stamp(self.not_after)}
"""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
    key: Annotated[tuple[Key, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys of a trust file by their ids, and the SHA-256 of its bytes."""

    keys: Mapping[str, Key]
    sha256: str

    @classmethod
    def read(cls, path: Path) -> "Trust":
        """Read a trust file.

        Raises:
            UsageError: it cannot be read, or an entry is wrong; or the extra `signatures` is not installed.

        """
        check_installed()
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UsageError(f"the trust file {path} cannot be read: {error.strerror}") from error
        return parse(content, str(path))


def parse(content: bytes, where: str) -> Trust:
    """Return a trust file's content. Raises UsageError if an entry is wrong; the message names it."""
    import tomllib  # noqa: PLC0415 - few have a trust file

    try:
        document = tomllib.loads(content.decode())
    except ValueError as error:
        raise UsageError(f"the trust file {where} is no TOML: {error}") from None
    try:
        keys = _Document.model_validate(document).key
    except ValidationError as error:
        faults = "; ".join(_fault(fault, document) for fault in error.errors())
        raise UsageError(f"the trust file {where}: {faults}") from None
    _check(keys, where)
    return Trust({key.id: key for key in keys}, sha256(content).hexdigest())


def _check(keys: Sequence[Key], where: str) -> None:
    seen: dict[str, Key] = {}
    for key in keys:
        if (first := seen.setdefault(key.id, key)) is not key:
            raise UsageError(f"the trust file {where}: {key.name} has the public key of {first.name}: list it once")
        if key.not_after <= key.not_before:
            raise UsageError(f"the trust file {where}: {key.name} ends (not_after) before it begins (not_before)")


def _fault(fault: ErrorDetails, document: Mapping[str, Any]) -> str:
    """Return the fault of an entry."""
    place, entries = fault["loc"], document.get("key")
    if len(place) < 2 or not isinstance(entries, list):  # noqa: PLR2004 - the list, and which of it
        return f"{place[0]}: {fault['msg']}"
    number = int(place[1])
    name = entries[number].get("name") if isinstance(entries[number], dict) else None
    at = f"[[key]] {number + 1}" + (f" ({name})" if isinstance(name, str) else "")
    field = f": {place[2]}" if len(place) > 2 else ""  # noqa: PLR2004 - a field of it
    if fault["type"] == "enum":
        return f"{at}{field}: {fault['input']!r} is no role: there are {', '.join(SigningRole)}"
    return f"{at}{field}: {fault['msg']}"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # as TOML's basic strings


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
