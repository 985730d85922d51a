"""What uv printed, as a message for a person who must not learn the index's password from it."""

import re
from typing import Final
from urllib.parse import unquote, urlsplit

from hotswap.environments.recipe import Recipe
from hotswap.errors import SwapCode, SwapError
from hotswap.printable import printable

_LONGEST: Final = 2_000
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_DRAWN: Final = re.compile(r"[\u2500-\u257f\u25b6\u00d7]+")
_PROGRESS: Final = re.compile(r"(Using|Resolved|Prepared|Installed|Downloading|Downloaded|Building|warning:|\+) ?")
_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s`'\"<>)\]]+")
_PATH: Final = re.compile(r"(?<![\w.:/-])/[^\s`'\":;,()]*")
_PACKAGE: Final = re.compile(r"\.(whl|whl\.metadata|tar\.gz|zip|tar\.bz2)$")
_LEAST_SECRET: Final = 3  # characters: a shorter one would be found in any word
_UNBALANCED: Final = str.maketrans("", "", "()")  # before `errors.what_to_do` looks for the advice
THE_INDEX: Final = "the index"

_PACK: Final = "pack its wheel with the model (`hotswap pack --vendor`)"
_ADVICE: Final = {
    r"Hash mismatch": "lock the model's requirements again, or restore the file that was locked",
    r"no usable wheels|building from source": f"lock a version that has wheels, or build one and {_PACK}",
    r"no wheels with a matching|compatible tag": "lock a version with a wheel for this Python and platform, or name "
    "another Python in .python-version",
    r"\b40[137]\b|[Aa]uthenticat": "correct the user info of HOTSWAP_PYTHON_INDEX",
    r"provided package locations": "the model brings its own wheels, without this one: pack it again",
    r"not found in|no version of": "correct its name and version, or name an index that has it in HOTSWAP_PYTHON_INDEX",
    r"Failed to fetch|error sending request|timed out|dns error": "check HOTSWAP_PYTHON_INDEX and this worker's "
    f"network, or {_PACK}",
}


def failed(recipe: Recipe, printed: str, *, index: str) -> SwapError:
    """Return the error for a run of uv that failed, with its words and advice; `index` is the URL that it was given."""
    said = clean(printed, index=index)
    where = next((advice for pattern, advice in _ADVICE.items() if re.search(pattern, said)), "correct what it names")
    why = f"the packages of {recipe.file} cannot be installed for Python {recipe.version} (uv: {said or 'no words'})"
    return SwapError(SwapCode.ENVIRONMENT_INVALID, f"{why}: {where}")


def clean(printed: str, *, index: str) -> str:
    """Return uv's error in one line, at most 2,000 characters, without URLs, secrets, and paths of this machine."""
    text = _DRAWN.sub("", _ANSI.sub("", printed))
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    text = " ".join(line for line in lines if not _PROGRESS.match(line)).removeprefix("error: ")
    text = _PATH.sub(_name_of_path, _URL.sub(_name_of_url, text))
    for secret, shown in _secrets(index).items():
        text = text.replace(secret, shown)
    text = printable(text)
    if text.count("(") != text.count(")"):
        text = text.translate(_UNBALANCED)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1].translate(_UNBALANCED)}…"


def _secrets(index: str) -> dict[str, str]:
    """Return what may not be shown of an index -> what stands for it; the longest come first."""
    place = urlsplit(index)
    secrets = {place.netloc: THE_INDEX, place.netloc.rpartition("@")[2]: THE_INDEX, place.hostname or "": THE_INDEX}
    for part in filter(None, (place.password, place.username)):
        secrets |= {part: "***", unquote(part): "***"}
    return {one: secrets[one] for one in sorted(secrets, key=len, reverse=True) if len(one) >= _LEAST_SECRET}


def _name_of_url(found: re.Match[str]) -> str:
    name = unquote(urlsplit(found[0]).path.rpartition("/")[2])
    return name if _PACKAGE.search(name) else THE_INDEX


def _name_of_path(found: re.Match[str]) -> str:
    return found[0].rstrip("/").rpartition("/")[2] or "/"
