"""Checks the files that an unpacked MOJO names before a host opens them: genmodel opens any file that its texts name.

Two things in a model.ini are names: the files of [domains], and `submodel_dir_<n>` in [info], the prefix that a stacked
ensemble or a RuleFit puts before the names of a submodel's files, another model.ini first. All other files have fixed
names that genmodel chooses (ModelMojoReader, MultiModelMojoReader, of h2o-genmodel 3.46).
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, TextIO

from hotswap.artifacts.archive import invalid

INI: Final = "model.ini"
_LONGEST: Final = 64 << 10  # only the numbers of a network's layer are longer, never a name
_SHOWN: Final = 200
_TRIMMED: Final = "".join(map(chr, range(33)))  # what Java's String.trim removes
_SPACES: Final = " \t\n\v\f\r"  # \\s of a Java regular expression


def check_names(folder: Path, *, name: str, is_stopped: Callable[[], bool] = lambda: False) -> None:
    """Check that every file that a MOJO names is one of its own; a folder without a model.ini names none.

    Raises SwapError (ARTIFACT_INVALID).
    """
    if not (folder / INI).is_file():
        return
    files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    seen: set[str] = set()
    models = [""]
    while models:
        prefix = models.pop()
        ini = prefix + INI
        if ini in seen or ini not in files:
            continue
        seen.add(ini)
        for named, is_model in _names(folder / ini, prefix):
            if is_stopped():
                raise invalid(name, "was abandoned: it was not read in time")
            whole = named + INI if is_model else named
            # H2O never writes `..` or a backslash, not even in a path that ends up inside the folder.
            if whole not in files or ".." in PurePosixPath(whole).parts or "\\" in whole:
                raise invalid(name, f"names the file {whole[:_SHOWN]!r} in {ini[:_SHOWN]!r}, which is not its own")
            if is_model:
                models.append(named)


def _names(ini: Path, prefix: str) -> Iterator[tuple[str, bool]]:
    """Yield the names in a model.ini, and whether each one is the prefix of a submodel's files."""
    section = ""
    with ini.open(encoding="utf-8", errors="replace") as file:
        for line, is_whole in _lines(file):
            key, is_pair, value = (part.strip(_SPACES) for part in line.partition("="))
            is_name = section == "[domains]" or key.startswith("submodel_dir_")
            if not is_whole and (is_name or not key or not is_pair):
                yield f"{prefix}(a line of more than {_LONGEST:,} characters)", False
            elif line in ("[info]", "[columns]", "[domains]"):
                section = line
            elif section == "[domains]" and line and not line.startswith("#"):
                yield f"{prefix}domains/{line.partition(':')[2].lstrip(_SPACES).partition(' ')[2]}", False
            elif section == "[info]" and key.startswith("submodel_dir_"):
                yield prefix + value, True


def _lines(file: TextIO) -> Iterator[tuple[str, bool]]:
    """Yield each line as genmodel trims it, or only its beginning, and whether it is the whole line."""
    is_begin = True
    while piece := file.readline(_LONGEST):
        is_whole = piece.endswith("\n") or len(piece) < _LONGEST
        if is_begin:
            yield piece.strip(_TRIMMED), is_whole
        is_begin = is_whole
