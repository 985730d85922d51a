"""The manifest of an environment: each of its files with its SHA-256, by which later changes are found.

It lies beside the files. So it finds what a disk, a person or another program has changed; a model cannot write to the
cache, where it is shut in.
"""

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hotswap.local.system import open_plain

_NAME: Final = "manifest.json"
_CHUNK: Final = 1 << 20


def write(folder: Path) -> None:
    """Write the manifest of the folder `content` in an entry's folder. Raises OSError: it has more than plain files."""
    files = {name: _digest(folder / "content" / name) for name in _files(folder / "content")}
    (folder / _NAME).write_text(json.dumps(files), encoding="utf-8")


def find_fault(folder: Path) -> str:
    """Describe the first difference between the content of an entry and its manifest; empty if there is none."""
    try:
        with open_plain(folder / _NAME) as file:
            listed = json.load(file)
        if (folder / "content").is_symlink():
            return "its folder is a link"
        there = set(_files(folder / "content"))
        if there != set(listed):
            name = min(there ^ set(listed))
            return f"{name} is {'not in its manifest' if name in there else 'gone'}"
        changed = (name for name, digest in listed.items() if _digest(folder / "content" / name) != digest)
        name = next(changed, "")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return str(error)
    return f"{name} has another digest" if name else ""


def _files(content: Path) -> Iterator[str]:
    """Yield the path of each file below a folder, and of each empty folder. Raises OSError for all else."""
    folders = [content]
    while folders:
        folder = folders.pop()
        is_empty = True
        for path in folder.iterdir():
            is_empty = False
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                folders.append(path)
            elif stat.S_ISREG(mode):
                yield path.relative_to(content).as_posix()
            else:
                raise OSError(f"{path.relative_to(content)} is neither a file nor a folder")
        if is_empty and folder != content:
            yield f"{folder.relative_to(content).as_posix()}/"


def _digest(path: Path) -> str:
    if path.is_dir():
        return ""
    digest = hashlib.sha256()
    with open_plain(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
