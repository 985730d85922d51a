"""Packages: a model with everything that a swap needs, as `hotswap pack` writes it and Acumos's clients did.

    modeldump.zip       modelpackage.zip, metadata.json, default.proto, license.json if there is one
    modelpackage.zip    the model; ours: hotswap.json, samples.csv, golden.json; for a jar: modelConfig.properties

hotswap.json has what Acumos has no place for: the model's version, the configuration, the role of each file, and its
SHA-256. Acumos's own readers look for the files that they know, and ignore it.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from pydantic import BaseModel, ConfigDict, ValidationError

from hotswap.artifacts.archive import unpack
from hotswap.client import protos
from hotswap.client.change import Change, read_proto
from hotswap.codec.messages import serialize
from hotswap.codec.proto import Schema
from hotswap.codec.text.layout import BadRow
from hotswap.codec.text.reader import read_rows
from hotswap.errors import SwapCode, SwapError, UsageError
from hotswap.generation import Configuration, Proto
from hotswap.packages.acumos import read_acumos
from hotswap.packages.configuration import configuration_of

MANIFEST: Final = "hotswap.json"
GOLDEN: Final = "golden.json"
"""The golden answers, if a package has some: `sha256` names it, and versions that do not know it leave it alone."""
PACKAGES: Final = ("modeldump.zip", "modelpackage.zip")
PROTOS: Final = ("default.proto", "default.desc")
"""A proto's text, or a descriptor set if it imports others."""

_MAX_BYTES: Final = 2 << 30
_MAX_SAMPLES_BYTES: Final = 256 << 10  # a command is one record of the control topic


class Manifest(BaseModel):
    """The content of hotswap.json: `model` and `samples` (empty: none) name files, with their digests in `sha256`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal["hotswap.package:1"] = "hotswap.package:1"
    name: str
    version: str
    version_reasons: list[str]
    kind: str
    model: str
    samples: str
    configuration: dict[str, Any]
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The content of a package. `model` is a file that exists while the package is open; `proto` None: it has none.

    `version` is None in a package of Acumos's, which has no version.
    """

    name: str
    version: str | None
    kind: str
    model: Path
    proto: Proto | None
    configuration: Configuration
    samples: tuple[bytes, ...] = ()
    golden: Path | None = None
    """The file of golden answers, which exists as the model does."""

    def change(self) -> Change:
        """Return the swap to it: model, proto, configuration, samples and golden answers."""
        return Change(
            model=self.model,
            kind=self.kind,
            proto=self.proto,
            configuration=self.configuration,
            samples=self.samples,
            golden=self.golden,
        )


@contextmanager
def open_package(path: Path, *, max_bytes: int = _MAX_BYTES) -> Iterator[Package]:
    """Unpack a modeldump.zip or modelpackage.zip, ours or Acumos's, however they are nested.

    `max_bytes` bounds what each zip unpacks to.

    Raises:
        UsageError: it does not exist, or does not tell which file is the model.
        SwapError: ARTIFACT_INVALID (not a zip, or unsafe), DIGEST_MISMATCH (changed after it was packed).

    """
    with tempfile.TemporaryDirectory(prefix="hotswap-package-") as folder:
        files = _unpack(path, Path(folder), max_bytes)
        manifest = next((file for file in files if file.name == MANIFEST), None)
        yield _read(path, manifest, files) if manifest else _read_acumos(path, files)


def encode_samples(text: TextIO, schema: Schema, name: str) -> tuple[bytes, ...]:
    """Encode the rows of a CSV as input messages of the proto's first operation, as many as fit into a swap command.

    Raises:
        UsageError: a row does not fit; the message calls the CSV `name`.

    """
    rows = read_rows(text, "csv", next(iter(schema.operations.values())).input)
    samples: list[bytes] = []
    room = _MAX_SAMPLES_BYTES
    for row in rows:
        if isinstance(row, BadRow):
            raise UsageError(f"{name}: {row}" + (f" ({row.hint})" if row.hint else ""))
        message = serialize(rows.layout.pack([row.message]))
        room -= len(message)
        if room < 0:
            break
        samples.append(message)
    return tuple(samples)


def schema_of(proto: Proto) -> Schema:
    """Compile an inline proto. Raises SwapError PROTO_INVALID."""
    return protos.compile_now(proto.source or b"", proto.is_descriptor_set)


def _unpack(path: Path, folder: Path, max_bytes: int) -> list[Path]:
    """Return the files of a package, and of the packages inside it."""
    if not path.is_file():
        raise UsageError(f"package {path} does not exist, or is not a file")
    files: list[Path] = []
    packed: Path | None = path
    for number in range(len(PACKAGES) + 1):
        if packed is None:
            break
        with packed.open("rb") as content:
            unpack(content, folder / str(number), name=f"package {path}", max_bytes=max_bytes)
        inside = sorted(file for file in (folder / str(number)).rglob("*") if file.is_file())
        files += [file for file in inside if file.name not in PACKAGES]
        packed = next((file for file in inside if file.name in PACKAGES), None)
    return files


def _read(path: Path, manifest: Path, files: list[Path]) -> Package:
    parsed = _parse(path, manifest)
    by_name = {file.name: file for file in reversed(files)}
    for name, digest in parsed.sha256.items():
        _check(path, name, by_name.get(name), digest)
    if parsed.model not in parsed.sha256 or (parsed.samples and parsed.samples not in parsed.sha256):
        raise SwapError(
            SwapCode.ARTIFACT_INVALID, f"package {path}: its {MANIFEST} names files without giving their digests"
        )
    protos = [read_proto(by_name[name]) for name in PROTOS if name in parsed.sha256 and name in by_name]
    samples: tuple[bytes, ...] = ()
    if parsed.samples and protos:
        with by_name[parsed.samples].open(encoding="utf-8", newline="") as text:
            samples = encode_samples(text, schema_of(protos[0]), f"samples of package {path}")
    return Package(
        name=parsed.name,
        version=parsed.version,
        kind=parsed.kind,
        model=by_name[parsed.model],
        proto=protos[0] if protos else None,
        configuration=configuration_of(parsed.configuration, f"of package {path}"),
        samples=samples,
        golden=by_name[GOLDEN] if GOLDEN in parsed.sha256 else None,
    )


def _parse(path: Path, manifest: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(manifest.read_bytes())
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg']}" for fault in error.errors())
        raise SwapError(SwapCode.ARTIFACT_INVALID, f"package {path}: its {MANIFEST} is invalid: {wrong}") from error


def _check(path: Path, name: str, file: Path | None, digest: str) -> None:
    if file is None:
        if name in PROTOS:
            return  # a modelpackage.zip on its own: the proto is beside it
        raise SwapError(SwapCode.ARTIFACT_INVALID, f"package {path}: {name} is missing")
    with file.open("rb") as content:
        actual = hashlib.file_digest(content, "sha256").hexdigest()
    if actual != digest:
        raise SwapError(
            SwapCode.DIGEST_MISMATCH,
            f"package {path}: {name} has the SHA-256 {actual}, but was packed with {digest}: it was changed or damaged "
            "since; pack the model again, or pass the other file as an option",
        )


def _read_acumos(path: Path, files: list[Path]) -> Package:
    acumos = read_acumos(path, files)
    return Package(
        name=acumos.name,
        version=None,
        kind=acumos.kind,
        model=acumos.model,
        proto=read_proto(acumos.proto) if acumos.proto else None,
        configuration=acumos.configuration,
    )
