"""The lock of a Python model: the packages that it needs, each with one version and the digests of its files.

It is read from the model's folder, which anybody may have made: `requirements.lock`, or else `requirements.txt`, in the
format that `uv pip compile --generate-hashes` and `pip-compile --generate-hashes` write. What an installer gets is the
canonical text of what was read here, never the file: so nothing in it can mean something else there.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from hotswap.errors import SwapCode, SwapError
from hotswap.local.system import open_plain
from hotswap.printable import printable

NAMES: Final = ("requirements.lock", "requirements.txt")
"""The files that a lock is read from; the first one that exists counts."""
MAX_BYTES: Final = 1 << 20
_MAX_REQUIREMENT: Final = 2_000  # characters, without its hashes
_SHOWN: Final = 100
_ADVICE: Final = "write the lock with `uv pip compile --generate-hashes`, or `hotswap pack --lock`"
_COMMENT: Final = re.compile(r"(^|\s)#.*")
_HASH: Final = re.compile(r"\s--hash[= ]\s*(\S*)")
_SHA256: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_TEXT: Final = re.compile(
    r"\"[\w.+* -]*\"|'[\w.+* -]*'"
)  # of a marker; others could mean something else to an installer
_UNBALANCED: Final = str.maketrans("", "", "()")  # of a quotation that was cut, for `errors.what_to_do`
_USER: Final = re.compile(r"//[^/@\s]*@")
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:/")
_PATH: Final = re.compile(r"[./~\\]|[^<>=!~;\[\]\s]*[/\\]")


@dataclass(frozen=True, slots=True)
class Lock:
    """The requirements of a model, one a line, normalised and sorted; none: it needs Python's own library alone."""

    requirements: tuple[str, ...] = ()
    file: str = NAMES[0]
    """The name of the file that it was read from, for messages."""

    @property
    def text(self) -> str:
        """The canonical text, which an installer reads."""
        return "".join(f"{line}\n" for line in self.requirements)

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical text, which identifies the lock: 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_lock(folder: Path) -> Lock:
    """Read the lock in a model's folder; an empty one if it has none.

    Raises SwapError ENVIRONMENT_INVALID, naming the file, the line and the requirement: it is not `name==version` with
    at least one SHA-256, perhaps with extras and a marker; or the file is too large, is no text, or cannot be read.
    """
    for name in NAMES:
        content = _read(folder, name)
        if content is not None:
            return parse_lock(name, content)
    return Lock()


def read_text(folder: Path, name: str) -> str | None:
    """Return the text of a file of requirements in a model's folder; None if there is none.

    Raises SwapError ENVIRONMENT_INVALID: it is too large, is no text, or cannot be read.
    """
    content = _read(folder, name)
    return None if content is None else _decoded(name, content)


def _read(folder: Path, name: str) -> bytes | None:
    try:
        with open_plain(folder / name) as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _invalid(name, f"cannot be read ({error.strerror})", "pack it as a plain file") from error


def _decoded(name: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise _invalid(name, f"is larger than {MAX_BYTES:,} bytes", "lock what the model needs to score, and no more")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise _invalid(name, f"is not UTF-8 (at byte {error.start})", _ADVICE) from error


def parse_lock(name: str, content: bytes) -> Lock:
    """Parse the content of the file `name`. Raises SwapError ENVIRONMENT_INVALID, as `read_lock` does."""
    text = _decoded(name, content)
    lines: dict[str, int] = {}
    names: dict[tuple[str, str], int] = {}
    for number, logical in logical_lines(text):
        entry = _entry(name, number, logical)
        if (before := names.setdefault(entry.key, number)) != number:
            raise _refused(
                name,
                number,
                entry.line.partition(" --hash")[0],
                f"the same package as in line {before}",
                "keep one of them",
            )
        lines[entry.line] = number
    return Lock(tuple(sorted(lines)), name)


class _Entry(NamedTuple):
    line: str
    """Its canonical line."""
    key: tuple[str, str]
    """The package and the marker, which only one requirement may have."""


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number of its first line and the text of each requirement, its lines joined, without comments."""
    begun, parts = 0, []
    for number, physical in enumerate(re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff")), start=1):
        line = _COMMENT.sub("", physical).rstrip()
        goes_on = line.endswith("\\")
        if stripped := line.removesuffix("\\").strip():
            begun = begun or number
            parts.append(stripped)
        if not goes_on and parts:
            yield begun, " ".join(parts)
            begun, parts = 0, []
    if parts:
        yield begun, " ".join(parts)


def _entry(name: str, number: int, logical: str) -> _Entry:
    bare = _HASH.sub("", logical).strip()
    if foreign := _foreign(bare):
        raise _refused(name, number, bare, *foreign)
    digests = set()
    for given in _HASH.findall(logical):
        if not (found := _SHA256.fullmatch(given)):
            why = f"the hash {given[:_SHOWN]!r} is not sha256: and 64 hexadecimal digits"
            raise _refused(name, number, bare, why, _ADVICE)
        digests.add(found[1].lower())
    requirement = _requirement(name, number, bare)
    if not digests:
        raise _refused(name, number, bare, "it has no --hash=sha256:…", _ADVICE)
    hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(digests))
    package = canonicalize_name(requirement.name)
    extras = f"[{','.join(sorted(map(canonicalize_name, requirement.extras)))}]" if requirement.extras else ""
    marker = str(requirement.marker or "")
    (pin,) = requirement.specifier
    line = f"{package}{extras}=={Version(pin.version)}{f' ; {marker}' if marker else ''}{hashes}"
    return _Entry(line, (package, marker))


def _foreign(bare: str) -> tuple[str, str] | None:
    """Return why a line is no requirement of an index, and what to do; None if it may be one."""
    if bare.startswith("-") or re.search(r"\s--?[a-zA-Z]", bare):
        return "options are not allowed", "lock packages alone; the worker's HOTSWAP_PYTHON_INDEX names the index"
    if _URL.match(bare) or re.match(r"[^;]*@", bare):
        return "URLs are not allowed", "pack the wheel with the model (`hotswap pack --vendor`), and lock its version"
    if _PATH.match(bare):
        return "paths are not allowed", "pack the wheel with the model (`hotswap pack --vendor`), and lock its version"
    if re.search(r"[\"'$#]", _TEXT.sub("", bare)):
        return "a text of its marker has unusual characters", _ADVICE
    return None


def _requirement(name: str, number: int, bare: str) -> Requirement:
    if len(bare) > _MAX_REQUIREMENT:
        raise _refused(name, number, bare, f"it has more than {_MAX_REQUIREMENT:,} characters", _ADVICE)
    try:
        requirement = Requirement(bare)
    except (InvalidRequirement, RecursionError) as error:
        why = (
            str(error).partition("\n")[0] if isinstance(error, InvalidRequirement) else "its marker is nested too deep"
        )
        raise _refused(name, number, bare, f"it is no requirement ({why})", _ADVICE) from error
    pins = list(requirement.specifier)
    if len(pins) != 1 or pins[0].operator != "==" or pins[0].version.endswith(".*"):
        raise _refused(name, number, bare, "it must name one version, as name==version", _ADVICE)
    return requirement


def _refused(name: str, number: int, requirement: str, why: str, advice: str) -> SwapError:
    shown = printable(_USER.sub("//", requirement))
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN].translate(_UNBALANCED)}…"
    return _invalid(f"line {number} of {name} ({shown})", f"cannot be used ({why})", advice)


def _invalid(what: str, why: str, advice: str) -> SwapError:
    return SwapError(SwapCode.ENVIRONMENT_INVALID, f"{what} {why}: {advice}")
