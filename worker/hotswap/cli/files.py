"""Readers of the files that commands take: models, protos, configurations, rows."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping
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
    from hotswap.client.change import GoldenChoice, compile_file
    from hotswap.codec.proto import Operation, Schema
    from hotswap.generation import Configuration, Model, Proto, TextOptions
    from hotswap.settings import Settings

with later:
    from hotswap.client.mlflow_models import download
    from hotswap.client.serving import Served, serving_schema
    from hotswap.codec.text.file import open_table
    from hotswap.codec.text.reader import RowReader, read_rows
    from hotswap.packages.configuration import read_configuration
    from hotswap.packages.package import open_package, schema_of


_OF_MLFLOW = ("models:/", "runs:/")


class Parts(NamedTuple):
    """The parts of a generation on a command line; None: not named."""

    model: Path | Model | None
    kind: str | None
    proto: Path | Proto | None
    configuration: Configuration | None
    samples: tuple[bytes, ...]
    name: str | None = None
    """The model's name in a package."""
    golden: Path | None = None
    """The golden answers of a package."""


package_option = click.option(
    "--package",
    type=local_file,
    metavar="FILE",
    help="A package of Hotswap or Acumos; other options override its parts.",
)


@contextmanager
def downloaded(options: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the options; a model in MLflow's registry is replaced by its files, which exist in the block."""
    location = str(options["model"] or "")
    if not location.startswith(_OF_MLFLOW):
        yield options
        return
    with tempfile.TemporaryDirectory(prefix="hotswap-mlflow-") as folder:
        note(f"downloading {location}")
        found = download(location, Path(folder))
        if found.uri != location:
            note(f"{location} is {found.uri}")
        yield {**options, "model": found.folder, "name": options.get("name") or found.name}


@contextmanager
def parts_of(options: Mapping[str, Any]) -> Iterator[Parts]:
    """Yield the parts named by the options, and the others from --package, whose files exist in the block.

    A package's samples are used only with its own proto.
    """
    model = model_of(options["model"] and str(options["model"]), options.get("model_sha256"), options["kind"])
    proto = proto_of(options["proto"] and str(options["proto"]), options.get("proto_sha256"))
    configuration = read_configuration(options["config"]) if options["config"] else None
    if not options["package"]:
        yield Parts(model, options["kind"], proto, configuration, ())
        return
    with open_package(options["package"]) as package:
        yield Parts(
            model or package.model,
            options["kind"] or (None if model else package.kind),
            proto or package.proto,
            configuration or package.configuration,
            () if proto else package.samples,
            None if model else package.name,
            package.golden,
        )


def compile_proto(proto: Path | Proto) -> Schema:
    """Compile the proto of a local file, or an inline one."""
    return compile_file(proto) if isinstance(proto, Path) else schema_of(proto)


def model_of(location: str | None, sha256: str | None, kind: str | None) -> Path | Model | None:
    """Return a model from the command line: a local file, or a URI with its digest."""
    if location is None:
        return None
    if "://" not in location:
        return Path(location)
    if not sha256:
        raise UsageError(f"a model in a store needs its digest: add --model-sha256 to {without_secrets(location)}")
    return Model(location, sha256.lower(), kind or "h2o")


def proto_of(location: str | None, sha256: str | None) -> Path | Proto | None:
    """Return a proto from the command line: a local file, or a URI with its digest."""
    if location is None:
        return None
    if "://" not in location:
        return Path(location)
    if not sha256:
        raise UsageError(f"a proto in a store needs its digest: add --proto-sha256 to {without_secrets(location)}")
    return Proto(sha256.lower(), uri=location, is_descriptor_set=location.endswith((".desc", ".binpb")))


@contextmanager
def open_rows(path: Path, operation: Operation, options: TextOptions) -> Iterator[RowReader]:
    """Open the rows of a CSV or JSON file, or of stdin (`-`), for lazy reading."""
    with open_table(path) as (file, kind):
        yield read_rows(file, kind, operation.input, options)


async def read_served(settings: Settings) -> Served:
    """Return the serving generation; note it if only the workers' reports confirm it."""
    served = await serving_schema(settings)
    if served.unverified:
        note(f"the serving generation is known from the workers' reports alone: {served.unverified}")
    return served


def golden_of(text: str | None) -> Path | GoldenChoice | None:
    """Return the golden answers that --golden names: a file, or what becomes of those before."""
    if text is None:
        return None
    return GoldenChoice(text) if text in list(GoldenChoice) else Path(text)


def tolerances_of(texts: Iterable[str]) -> dict[str, float]:
    """Return the tolerances by field. Raises UsageError."""
    tolerances = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            tolerances[name] = float(number)
        except ValueError:
            tolerances[name] = math.nan
        if not name or not 0 <= tolerances[name] < math.inf:
            raise UsageError(
                f"--golden-tolerance {text}: write the field and a number that is 0 or more, as p_yes=0.001"
            )
    return tolerances
