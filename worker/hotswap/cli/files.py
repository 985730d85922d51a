"""Reads what commands take from files: a model, a proto, a configuration, rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late, later
from hotswap.cli.shared import local_file
from hotswap.errors import UsageError

with late:
    from hotswap.artifacts.places import without_secrets
    from hotswap.client.change import compile_file
    from hotswap.codec.proto import Operation, Schema
    from hotswap.generation import Configuration, Model, Proto, TextOptions
    from hotswap.settings import Settings

with later:
    from hotswap.client.serving import Served, serving_schema
    from hotswap.codec.text.file import open_table
    from hotswap.codec.text.reader import RowReader, read_rows
    from hotswap.packages.configuration import read_configuration
    from hotswap.packages.package import open_package, schema_of


class Parts(NamedTuple):
    """The parts of a generation that a command line names; None: not named."""

    model: Path | Model | None
    kind: str | None
    proto: Path | Proto | None
    configuration: Configuration | None
    samples: tuple[bytes, ...]
    name: str | None = None
    """The model's, as a package calls it."""


package_option = click.option(
    "--package",
    type=local_file,
    metavar="FILE",
    help="A package, ours or Acumos's; other options override its parts.",
)


@contextmanager
def parts_of(given: Mapping[str, Any]) -> Iterator[Parts]:
    """Yield the parts that the options name, and the others from --package, while its files exist.

    A package's samples are used with its own proto only.
    """
    model = model_of(given["model"] and str(given["model"]), given.get("model_sha256"), given["kind"])
    proto = proto_of(given["proto"] and str(given["proto"]), given.get("proto_sha256"))
    configuration = read_configuration(given["config"]) if given["config"] else None
    if not given["package"]:
        yield Parts(model, given["kind"], proto, configuration, ())
        return
    with open_package(given["package"]) as package:
        yield Parts(
            model or package.model,
            given["kind"] or (None if model else package.kind),
            proto or package.proto,
            configuration or package.configuration,
            () if proto else package.samples,
            None if model else package.name,
        )


def compile_given(proto: Path | Proto) -> Schema:
    """Compile the proto of a local file, or an inline one."""
    return compile_file(proto) if isinstance(proto, Path) else schema_of(proto)


def model_of(given: str | None, sha256: str | None, kind: str | None) -> Path | Model | None:
    """Return a model from the command line: a local file, or a URI with its digest."""
    if given is None:
        return None
    if "://" not in given:
        return Path(given)
    if not sha256:
        raise UsageError(f"a model in a store needs its digest: add --model-sha256 to {without_secrets(given)}")
    return Model(given, sha256.lower(), kind or "h2o")


def proto_of(given: str | None, sha256: str | None) -> Path | Proto | None:
    """Return a proto from the command line: a local file, or a URI with its digest."""
    if given is None:
        return None
    if "://" not in given:
        return Path(given)
    if not sha256:
        raise UsageError(f"a proto in a store needs its digest: add --proto-sha256 to {without_secrets(given)}")
    return Proto(sha256.lower(), uri=given, is_descriptor_set=given.endswith((".desc", ".binpb")))


@contextmanager
def open_rows(path: Path, operation: Operation, options: TextOptions) -> Iterator[RowReader]:
    """Open the rows of a CSV or JSON file, or of stdin if it is `-`, to be read lazily."""
    with open_table(path) as (file, kind):
        yield read_rows(file, kind, operation.input, options)


async def what_serves(settings: Settings) -> Served:
    """Return what serves, and note it if only the workers' reports say so."""
    served = await serving_schema(settings)
    if served.unverified:
        note(f"what serves is known by the workers' reports alone: {served.unverified}")
    return served
