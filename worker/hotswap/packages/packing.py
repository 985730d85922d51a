"""Writes a package: the four files that Acumos's clients wrote, each one complete or not at all."""

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hotswap import __version__
from hotswap.artifacts.archive import write_zip
from hotswap.artifacts.detect import as_file
from hotswap.codec.proto import Schema
from hotswap.errors import UsageError
from hotswap.generation import Configuration, Proto
from hotswap.packages.acumos import OPTIONS, RUNTIMES
from hotswap.packages.configuration import document_of
from hotswap.packages.package import GOLDEN, MANIFEST, PROTOS, Manifest

_FILES: Final = (*PROTOS, "metadata.json", "modelpackage.zip", "modeldump.zip")
_SAMPLES: Final = "samples.csv"
_LICENCE: Final = "license.json"
_LEAST_JAVA: Final = "17"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content of a package. `model`: a file or folder; `samples`: a CSV with the proto's names as header."""

    name: str
    version: str
    reasons: Sequence[str]
    kind: str
    about: str
    model: Path
    proto: Proto
    schema: Schema
    configuration: Configuration
    samples: str
    golden: bytes = b""
    """The document of golden answers; empty: none."""


def check_target(folder: Path, *, is_replacing: bool) -> None:
    """Raise UsageError if a package's files already exist, unless they may be replaced."""
    there = [name for name in _FILES if (folder / name).exists()]
    if there and not is_replacing:
        raise UsageError(f"{folder} has {', '.join(there)} already: choose another folder with --out, or add --force")


def write_package(content: Content, folder: Path) -> list[Path]:
    """Write the four files into a folder and return their paths; modeldump.zip, which contains the others, is last.

    The same content gives the same bytes. Raises UsageError if the folder cannot be written or the licence cannot be
    read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".hotswap-", dir=folder) as temporary:
            scratch = Path(temporary)
            (scratch / _proto_name(content)).write_bytes(content.proto.source or b"")
            (scratch / "metadata.json").write_text(json.dumps(_metadata(content), indent=2) + "\n", encoding="utf-8")
            with as_file(content.model) as model:
                _write_model_package(content, model, scratch / "modelpackage.zip")
            names = [name for name in _FILES if (scratch / name).exists()]
            inside: dict[str, Path | bytes] = {name: scratch / name for name in names}
            if licence := licence_of(content.model):
                inside[_LICENCE] = licence
            write_zip(scratch / _FILES[-1], inside)
            for name in (*names, _FILES[-1]):
                (scratch / name).replace(folder / name)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror} ({error.filename})") from error
    return [folder / name for name in (*names, _FILES[-1])]


def _write_model_package(content: Content, model: Path, target: Path) -> None:
    model_name = f"{content.name}{model.suffix}"  # Acumos finds the model's file by the model's name
    samples = content.samples.encode()
    digests = {model_name: _sha256(model), _proto_name(content): content.proto.sha256}
    inside: dict[str, Path | bytes] = {model_name: model}
    if samples:
        inside[_SAMPLES] = samples
        digests[_SAMPLES] = hashlib.sha256(samples).hexdigest()
    if content.golden:
        inside[GOLDEN] = content.golden
        digests[GOLDEN] = hashlib.sha256(content.golden).hexdigest()
    if content.kind != "h2o" and content.configuration.runtime:
        inside["modelConfig.properties"] = _properties(content.configuration.runtime)
    manifest = Manifest(
        name=content.name,
        version=content.version,
        version_reasons=list(content.reasons),
        kind=content.kind,
        model=model_name,
        samples=_SAMPLES if samples else "",
        configuration=document_of(content.configuration),
        sha256=digests,
    )
    inside[MANIFEST] = (manifest.model_dump_json(indent=2) + "\n").encode()
    write_zip(target, inside)


def _proto_name(content: Content) -> str:
    return PROTOS[content.proto.is_descriptor_set]


def _metadata(content: Content) -> dict[str, Any]:
    methods = {
        name: {
            "description": f"{name} of {content.about}",
            "input": operation.input.DESCRIPTOR.name,
            "output": operation.output.DESCRIPTOR.name,
        }
        for name, operation in content.schema.operations.items()
    }
    java = {"indexes": [], "requirements": [{"name": "java", "version": _LEAST_JAVA}]}
    return {
        "schema": "acumos.schema.model:0.4.0",
        "name": content.name,
        "runtime": {
            "name": RUNTIMES.get(content.kind, content.kind),
            "encoding": "protobuf",
            "version": __version__,
            "dependencies": {"java": java},
        },
        "methods": methods,
    }


def licence_of(model: Path) -> Path | None:
    """Return the licence beside a model, None if there is none."""
    beside = (model.parent / name for name in (_LICENCE, "licence.json"))
    return next((path for path in beside if path.is_file()), None)


def _properties(options: Mapping[str, str]) -> bytes:
    import javaproperties  # noqa: PLC0415 - as in configuration.py

    return javaproperties.dumps({OPTIONS.get(name, name): options[name] for name in options}, timestamp=None).encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
