"""Restricts fetching to allowed stores; shows a URI without its secrets.

A command names a URI, and whoever may write to the control topic names any. So only its path below an allowed store
counts: scheme, user, host and port of what is opened are those of the store, as an operator has set it.
"""

import os
import re
import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

from hotswap.errors import SwapCode, SwapError

FILE: Final = "file://"
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?:([^/?#\\]*)@)?([^/?#\\@]*)([^?#]*)(.*)", re.DOTALL)
_BARE_FILE: Final = re.compile(r"^(?:file:)?(?=/(?!/))")
_MOST_CODINGS: Final = 4  # a server decodes once, and a proxy before it perhaps, too


class _Place(NamedTuple):
    """A URL in its parts; `rest` follows the path. The path of a file is decoded, and its `rest` is empty."""

    scheme: str
    user: str
    host: str
    path: str
    rest: str


def address_of(uri: str, stores: Sequence[str]) -> str:
    """Return the address to open for a URI: the allowed store's URL with the URI's path below it; opens nothing.

    That of a file is `file://` and its path, without percent encoding, as fsspec takes it. A URI without user info is
    opened with the store's.

    Raises:
        SwapError: URI_DENIED, the URI lies in no store, or could be read as a way out of it.

    """
    if "::" in uri:
        raise _denied(uri, "is a chain of file systems, which may lead out of", stores)
    place = _place(uri)
    for store in stores:
        base = _place(store)
        below = _below(place, base) if place and base else None
        if base is None or below is None:
            continue
        if _may_lead_out(below):
            raise _denied(uri, "may lead (by `..`, a backslash or the like) out of", stores)
        return FILE + base.path.rstrip("/") + below if base.scheme == "file" else store.rstrip("/") + below
    raise _denied(uri, "lies outside of", stores)


def follow_links(path: str, stores: Sequence[str]) -> str:
    """Return the path of a local file with all links followed.

    Raises:
        SwapError: URI_DENIED, a link leads out of the allowed stores, whether or not to something.

    """
    real = os.path.realpath(path)
    bases = [base for base in map(_place, stores) if base and base.scheme == "file"]
    roots = [os.path.realpath(base.path).rstrip("/") for base in bases]
    if not any(real == root or real.startswith(root + "/") for root in roots):
        raise _denied(FILE + path, "leads by a link out of", stores)
    return real


def without_secrets(uri: str) -> str:
    """Return the URI as it may be shown: without user info, and without the query, which may be a signature."""
    scheme, separator, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(host) :]
    if "@" in scheme or ("@" in rest and "::" in uri) or ("@" in path and ":" in host.rpartition("@")[2]):
        return f"{scheme.partition(':')[0]}{separator}…"  # a chain, or perhaps a password with a slash in it
    return f"{scheme}{separator}{host.rpartition('@')[2]}{re.split('[?#]', path, maxsplit=1)[0]}"


def without_user(url: str) -> str:
    """Return a URL without user info, as commands carry it: fetching uses the store's own."""
    place = _place(url)
    return url.replace(f"{place.user}@", "", 1) if place and place.user else url


def hide_secrets(message: str, address: str) -> str:
    """Return a library's message about an address as it may be shown: its URLs as `without_secrets`, no password."""
    place = _place(address)
    shown = message.replace(address, without_secrets(address))
    shown = re.sub(r"\S*/\S*", lambda match: without_secrets(match[0]), shown)
    password = place.user.partition(":")[2] if place else ""
    for secret in filter(None, {password, unquote(password)}):
        shown = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "…", shown)
    return shown


def _place(uri: str) -> _Place | None:
    match = _URL.fullmatch(_BARE_FILE.sub(FILE, uri))
    if not match:
        return None
    scheme, user, host, path, rest = match[1].lower(), match[2] or "", match[3].lower(), match[4], match[5]
    return _Place(scheme, user, host, *((unquote(path + rest), "") if scheme == "file" else (path, rest)))


def _below(place: _Place, base: _Place) -> str | None:
    """Return the part of a URL below the store, from its slash on; None if it is not in the store."""
    root = base.path.rstrip("/")
    below = place.path.removeprefix(root)
    is_same = (place.scheme, place.host) == (base.scheme, base.host) and place.user in ("", base.user)
    is_below = place.path.startswith(root) and below[:1] in ("", "/")
    return below + place.rest if is_same and is_below and not base.rest else None


def _may_lead_out(path: str) -> bool:
    """Whether some reader may take a part of the path for the way up, however often it decodes it."""
    for _ in range(_MOST_CODINGS):
        parts = (part.partition(";")[0].strip() for part in path.split("/"))
        if "\\" in path or {".", ".."} & set(parts) or any(unicodedata.category(char) == "Cc" for char in path):
            return True
        try:
            decoded = unicodedata.normalize("NFKC", unquote(path, errors="strict"))
        except UnicodeDecodeError:
            return True
        if decoded == path:
            return False
        path = decoded
    return True


def _denied(uri: str, why: str, stores: Sequence[str]) -> SwapError:
    allowed = ", ".join(map(without_secrets, stores))
    return SwapError(
        SwapCode.URI_DENIED,
        f"{without_secrets(uri)} {why} the stores allowed here ({allowed}): upload it to one of them, or name "
        "its store in HOTSWAP_ALLOWED_STORES here and on every worker",
    )
