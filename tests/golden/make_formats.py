"""What each version writes where another one reads it: `formats/`, a file for each format and each form that it had.

    cd tests && ../.venv/bin/python -m golden.make_formats     writes what is missing, and touches nothing that is there

tests/unit/test_golden_formats.py holds today's code to them: it writes the newest form of each format, byte for byte,
and reads every form. So a format does not change unseen. If one has to (docs/upgrades.md says what may), the new form
is a file of its own: raise its number in `FORMATS`, and keep the older ones, which are still to be read.
"""

import asyncio
import base64
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes.data_plane import FakeRequest
from golden.control_formats import commands, contract, statuses
from golden.values import ADDRESS, CONFIGURATION, FILES, KEY, PROTO, SETTINGS, raw, records, text
from hotswap.artifacts.archive import write_zip
from hotswap.artifacts.store import Store
from hotswap.batch import Code, Refusal, Unscorable
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Model, Proto
from hotswap.kafka.group.assignor import Claim, KeepingAssignor
from hotswap.kafka.topics.committed import committed_at
from hotswap.kafka.transactions.alternating import transactional_ids
from hotswap.packages import packing
from hotswap.packages.packing import Content, write_package
from hotswap.settings import Settings
from hotswap.trust.file import Key, SigningRole

FOLDER = Path(__file__).parent / "formats"


# ---- the data plane


def offsets() -> bytes:
    """The metadata of a committed offset."""
    return committed_at(71, 7, 1_001, (1_001, 1_002)).metadata.encode()


def answers() -> bytes:
    """Predictions and dead letters: keys, values, headers."""
    plain = FakeRequest(70, b"v", key=b"k")
    traced = FakeRequest(71, b"v", key=None, headers=[("trace", b"1"), ("operation", b"score"), ("own", None)])
    given = [
        (plain, b"answer"),
        (traced, b"answer"),
        (traced, Refusal(Code.UNDECODABLE, "is no message")),
        (FakeRequest(72, b"v" * 1_000, key=b"k"), Refusal(Code.TOO_LARGE, "has 1000 bytes")),
        (Unscorable(73, 0, b"k", (), Refusal(Code.UNREADABLE, "odd"), facts=(("batch-sha256", b"00"),)), None),
    ]
    whole = ADDRESS.records([plain], [b"answer"])
    made = [ADDRESS.record(request, answer or request.refusal).record for request, answer in given]
    assert [*whole.predictions] == made[:1]
    return records(*made)


def names() -> bytes:
    """By which name each thing in Kafka goes: workers of two versions meet, and fence each other, by them alone."""
    first, second = transactional_ids(SETTINGS, 3)
    named = {
        "topics": SETTINGS.topics._asdict(),
        "control topic of a new deployment": Settings(deployment="d").topics.control,
        "group": SETTINGS.group_id,
        "transactional id of partition 3": first,
        "second transactional id of partition 3": second,
        "assignor": KeepingAssignor.name,
    }
    return (json.dumps(named, indent=1) + "\n").encode()


def claim() -> bytes:
    """What a member tells the group's leader: the partitions that it has."""
    assignor = KeepingAssignor("d.requests", claim=lambda: Claim(5, frozenset({1, 3})), on_assigned=lambda *_: None)
    return assignor.metadata({"d.requests"}).encode()


# ---- files


def package() -> bytes:
    """A package, with all that it may have."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(packing, "__version__", "1.0.0")
        write_zip(Path(folder) / "model.zip", FILES)
        (Path(folder) / "license.json").write_text("{}\n")
        content = Content(
            name="churn",
            version="1.4.2",
            reasons=["the contract is the same"],
            kind="spark",
            about="a model",
            model=Path(folder) / "model.zip",
            proto=Proto.inline(PROTO),
            schema=compile_proto(PROTO.encode()),
            configuration=CONFIGURATION,
            samples="x\n1\n2.5\n",
        )
        return write_package(content, Path(folder) / "out")[-1].read_bytes()


def trust() -> bytes:
    """An entry of a trust file."""
    key = Key.model_validate(
        {
            "name": "ci",
            "public": base64.b64encode(KEY.public),
            "roles": list(SigningRole),
            "deployments": ["d", "*"],
            "not_before": datetime(2026, 1, 1, tzinfo=UTC),
            "not_after": datetime(2027, 1, 1, tzinfo=UTC),
        }
    )
    return key.document().encode()


def private_key() -> bytes:
    """A key that signs."""
    with tempfile.TemporaryDirectory() as folder:
        KEY.write(Path(folder) / "key.pem")
        return (Path(folder) / "key.pem").read_bytes()


async def store() -> bytes:
    """What is where in a store after an upload."""
    return (await _stored())[0]


async def cache() -> bytes:
    """What is where in the cache of a machine after a fetch."""
    return (await _stored())[1]


async def _stored() -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_zip(root / "pipeline.zip", FILES)
        settings = Settings(store=(root / "store").as_uri(), cache=root / "cache")
        made = Store(settings)
        uri, sha256 = await made.upload(root / "pipeline.zip")
        await made.upload_proto(Proto.inline(PROTO))
        for kind in ("spark", "java"):
            made.release(await made.fetch(Model(uri, sha256, kind)))
        return tree(root / "store"), tree(settings.artifacts)


def tree(folder: Path) -> bytes:
    """The files of a folder as text: their paths, and what they have in base64."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return (
        json.dumps({str(path.relative_to(folder)): text(path.read_bytes()) for path in files}, indent=1) + "\n"
    ).encode()


def planted(content: bytes, folder: Path) -> None:
    """Makes the folder that a golden tree is of."""
    for name, value in json.loads(content).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw(value) or b"")


def settings() -> bytes:
    """The names of the settings."""
    return "".join(f"{name}\n" for name in sorted(Settings.model_fields)).encode()


FORMATS: Mapping[str, tuple[int, str, Callable[[], Any]]] = {
    "commands": (1, "json", commands),
    "statuses": (7, "json", statuses),
    "contract": (6, "binpb", contract),
    "offsets": (3, "json", offsets),
    "answers": (1, "json", answers),
    "names": (3, "json", names),
    "claim": (2, "bin", claim),
    "package": (1, "zip", package),
    "trust": (2, "toml", trust),
    "private-key": (1, "pem", private_key),
    "store": (1, "json", store),
    "cache": (1, "json", cache),
    "settings": (5, "txt", settings),
}
"""Each format: the number of its newest form, how its files' names end, and what writes it today."""


def written(name: str) -> bytes:
    """What today's code writes."""
    made = FORMATS[name][2]()
    return asyncio.run(made) if asyncio.iscoroutine(made) else made


def path_of(name: str, form: int | None = None) -> Path:
    newest, ending, _ = FORMATS[name]
    return FOLDER / f"{name}.{form or newest}.{ending}"


if __name__ == "__main__":
    logging.disable()
    for missing in (name for name in FORMATS if not path_of(name).exists()):
        path_of(missing).write_bytes(written(missing))
        sys.stdout.write(f"{path_of(missing)}\n")
