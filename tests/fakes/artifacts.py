"""Made-up artifacts, and helpers to fetch them from a store."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from hotswap.artifacts.store import Store
from hotswap.errors import SwapError
from hotswap.generation import Model
from hotswap.settings import Settings

MOJO = {
    "model.ini": b"[info]\nalgo = gbm\n",
    "domains/d00.txt": b"red\nblue\n",
    "trees/t00_000.bin": bytes(range(256)) * 40,
}


def make_zip(files: Mapping[str, bytes] = MOJO, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return buffer.getvalue()


def special_zip(name: str, mode: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        target.writestr("model.ini", b"x")
        entry = zipfile.ZipInfo(name)
        entry.create_system = 3
        entry.external_attr = mode << 16
        target.writestr(entry, b"/etc/passwd")
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def refusal(store: Store, model: Model) -> SwapError:
    with pytest.raises(SwapError) as caught:
        await store.fetch(model)
    return caught.value


def left(settings: Settings) -> list[str]:
    root = settings.cache / "artifacts"
    return sorted(entry.name for entry in root.iterdir()) if root.exists() else []


def open_descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))
