"""`hotswap pack`: packages a model for `hotswap swap --package`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late
from hotswap.cli.shared import json_option, kind_option, local_file, local_model, make_settings, print_json, run, show
from hotswap.errors import UsageError

with late:
    from hotswap.codec.fields import descriptor_of
    from hotswap.codec.proto import Schema
    from hotswap.generation import Configuration
    from hotswap.packages.configuration import read_configuration
    from hotswap.packages.packing import check_target, write_package


@click.command()
@click.argument("model", type=local_model)
@click.option("--sample", type=local_file, metavar="FILE", help="CSV rows of the model's inputs, with a header.")
@click.option("--name", metavar="NAME", help="The model's name. [default: its file's]")
@kind_option
@click.option("--proto", type=local_file, metavar="FILE", help="The model's proto, instead of a drafted one.")
@click.option("--flat", "is_flat", is_flag=True, help="Draft a proto of one row, as the gateway's /v2 needs it.")
@click.option("--config", type=local_file, metavar="FILE", help="The configuration: JSON, or modelConfig.properties.")
@click.option(
    "--missing",
    multiple=True,
    metavar="TEXT",
    help='What means "missing" in a CSV, such as NA: in the sample, and in every CSV that the model is to read.',
)
@click.option(
    "--allow-missing",
    "may_lack",
    is_flag=True,
    help="Go on where the sample lacks a column that the model reads.",
)
@click.option("--previous", type=local_file, metavar="FILE", help="The package or the proto of the previous version.")
@click.option("--previous-version", metavar="X.Y.Z", help="Its version. [default: the package's]")
@click.option(
    "--out", "folder", type=local_model, metavar="FOLDER", help="Where to write it. [default: named after the model]"
)
@click.option("--force", "is_replacing", is_flag=True, help="Replace the files of an existing package.")
@json_option
def pack(model: Path, **given: Any) -> None:
    """Package a model: its proto, metadata.json, modelpackage.zip, and modeldump.zip with all of them.

    The types come from the model itself if it has them, otherwise from all rows of the sample. The package is loaded
    and checked here as a worker would do it; nothing is uploaded. A licence.json beside the model is included.
    """
    from hotswap.packages.onboarding import Wish, onboard  # noqa: PLC0415 - not to be had on Windows; see cli/main.py

    if given["is_flat"] and given["proto"]:
        raise UsageError("--flat is about a drafted proto, and --proto gives one: leave one of them out")
    configuration = read_configuration(given["config"]) if given["config"] else Configuration()
    text = replace(configuration.text, missing=configuration.text.missing | set(given["missing"]))
    wish = Wish(
        model=model,
        kind=given["kind"],
        name=given["name"],
        sample=given["sample"],
        proto=given["proto"],
        configuration=replace(configuration, text=text),
        previous=given["previous"],
        previous_version=given["previous_version"],
        may_lack=given["may_lack"],
        is_flat=given["is_flat"],
    )
    folder = given["folder"] or Path(wish.name or model.resolve().stem)
    check_target(folder, is_replacing=given["is_replacing"])
    content, notes = run(onboard(make_settings(), wish))
    if not given["proto"]:
        notes = [*notes, *_flat_notes(content.schema, is_flat=given["is_flat"])]
    for line in notes:
        note(line)
    written = write_package(content, folder)
    if given["is_json"]:
        facts = {"name": content.name, "version": content.version, "reasons": list(content.reasons)}
        print_json({**facts, "kind": content.kind, "notes": notes, "files": [str(path) for path in written]})
        return
    show(f"{content.name} {content.version} ({content.kind}): {'; '.join(content.reasons)}")
    for path in written:
        show(str(path))


def _flat_notes(schema: Schema, *, is_flat: bool) -> list[str]:
    """Return a note where the Open Inference Protocol, with its tensors of scalars, cannot use a draft."""
    messages = [message for each in schema.operations.values() for message in (each.input, each.output)]
    repeated = [part.name for message in messages for part in descriptor_of(message).fields if part.is_repeated]
    if not repeated:
        return []
    cure = f"the model has lists ({', '.join(repeated)})" if is_flat else "--flat drafts one that it can use"
    return [f"the gateway's /v2 (Open Inference Protocol) cannot use this proto, which has repeated fields: {cure}"]
