"""`hotswap pack`: package a model for `hotswap swap --package`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotswap.cli.exits import note
from hotswap.cli.files import downloaded
from hotswap.cli.late import late
from hotswap.cli.shared import json_option, kind_option, local_file, local_model, make_settings, print_json, run, show
from hotswap.errors import UsageError

if TYPE_CHECKING:
    from hotswap.packages.onboarding import Onboarded

with late:
    from hotswap.artifacts.foreign import is_sklearn
    from hotswap.codec.fields import descriptor_of
    from hotswap.codec.proto import Schema
    from hotswap.generation import Configuration
    from hotswap.packages.configuration import read_configuration
    from hotswap.packages.packing import check_target, write_package
    from hotswap.settings import Settings

_OF_SKLEARN = {"python": "--python", "trust_types": "--trust-types", "trusts_pickle": "--trust-pickle"}


@click.command()
@click.argument("model", type=local_model)
@click.option("--sample", type=local_file, metavar="FILE", help="CSV rows of the model's inputs, with a header.")
@click.option("--name", metavar="NAME", help="The model's name. [default: its file's]")
@kind_option
@click.option("--proto", type=local_file, metavar="FILE", help="The model's proto, instead of a drafted one.")
@click.option("--flat", "is_flat", is_flag=True, help="Draft a proto with one row per message, for the gateway's /v2.")
@click.option("--config", type=local_file, metavar="FILE", help="The configuration: JSON, or modelConfig.properties.")
@click.option(
    "--missing",
    multiple=True,
    metavar="TEXT",
    help='A cell that means "missing", such as NA: in the sample, and in every CSV for the model.',
)
@click.option(
    "--allow-missing",
    "may_lack",
    is_flag=True,
    help="Accept a sample that lacks a column that the model reads.",
)
@click.option("--previous", type=local_file, metavar="FILE", help="The package or the proto of the previous version.")
@click.option("--previous-version", metavar="X.Y.Z", help="Its version. [default: the package's]")
@click.option(
    "--out", "folder", type=local_model, metavar="FOLDER", help="The output folder. [default: named after the model]"
)
@click.option(
    "--python",
    type=local_file,
    metavar="FILE",
    help="For scikit-learn: the Python of an environment that has skl2onnx and the model's packages.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=1e-5,
    show_default=True,
    metavar="SHARE",
    help="For scikit-learn: by how much a number of the converted model may differ.",
)
@click.option(
    "--trust-types",
    metavar="A.B,C.D",
    default="",
    help="For scikit-learn: types in a skops file that may be loaded, beside those that skops trusts.",
)
@click.option(
    "--trust-pickle",
    "trusts_pickle",
    is_flag=True,
    help="For scikit-learn: load the file although this machine has no sandbox for the code in it.",
)
@click.option(
    "--vendor",
    "is_vendored",
    is_flag=True,
    help="For Python models: put the wheels of the model's lock beside it, so that workers need no index.",
)
@click.option(
    "--lock",
    "is_locked",
    is_flag=True,
    help="For Python models: lock the requirements.txt in the model's folder, as MLflow writes it, with hashes.",
)
@click.option(
    "--golden",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Pack the model's answers to the first N rows of the sample: what serves the package must give them.",
)
@click.option("--force", "is_replacing", is_flag=True, help="Replace the files of an existing package.")
@json_option
def pack(model: Path, **options: Any) -> None:
    """Package a model: its proto, metadata.json, modelpackage.zip, and modeldump.zip with all of them.

    The types come from the model if it has them, otherwise from all rows of the sample. The package is loaded and
    checked here as a worker would do it; nothing is uploaded. A licence.json beside the model is included. MODEL may be
    models:/name@alias, models:/name/7 or runs:/id/path of MLflow's server at MLFLOW_TRACKING_URI.
    """
    with downloaded({**options, "model": model}) as found:
        _pack(**found)


def _pack(model: Path, **options: Any) -> None:
    if options["is_flat"] and options["proto"]:
        raise UsageError("--flat applies to a drafted proto, and --proto provides one: leave one of them out")
    if options["golden"] and not options["sample"]:
        raise UsageError("--golden takes rows of the sample: pass it with --sample data.csv")
    configuration = read_configuration(options["config"]) if options["config"] else Configuration()
    text = replace(configuration.text, missing=configuration.text.missing | set(options["missing"]))
    folder = options["folder"] or Path(options["name"] or model.resolve().stem)
    if folder.resolve() == model.resolve():
        raise UsageError(f"the package would be written into the model's own folder, {model}: pass another with --out")
    check_target(folder, is_replacing=options["is_replacing"])
    with tempfile.TemporaryDirectory(prefix="hotswap-pack-") as scratch:
        configuration = replace(configuration, text=text)
        content, notes = run(_onboard(make_settings(), model, configuration, options, Path(scratch)))
        if not options["proto"]:
            notes = [*notes, *_flat_notes(content.schema, is_flat=options["is_flat"])]
        for line in notes:
            note(line)
        written = write_package(content, folder)
    if options["is_json"]:
        facts = {"name": content.name, "version": content.version, "reasons": list(content.reasons)}
        print_json({**facts, "kind": content.kind, "notes": notes, "files": [str(path) for path in written]})
        return
    show(f"{content.name} {content.version} ({content.kind}): {'; '.join(content.reasons)}")
    for path in written:
        show(str(path))


async def _onboard(
    settings: Settings, model: Path, configuration: Configuration, options: Mapping[str, Any], scratch: Path
) -> Onboarded:
    """Prepare the content of a package; a model of scikit-learn is converted into `scratch` before."""
    from hotswap.packages.onboarding import Wish, onboard  # noqa: PLC0415 - unavailable on Windows; see cli/main.py

    kind = options["kind"]
    converted: list[str] = []
    if options["is_locked"] or options["is_vendored"]:
        model = await _with_packages(settings, model, options, scratch)
    if kind is None and is_sklearn(model):
        kind, (model, converted) = "onnx", await _convert(settings, model, configuration, options, scratch)
    elif useless := [option for name, option in _OF_SKLEARN.items() if options[name]]:
        raise UsageError(f"{useless[0]} is for models of scikit-learn, which {model} is not: leave it out")
    wish = Wish(
        model=model,
        kind=kind,
        name=options["name"],
        sample=options["sample"],
        proto=options["proto"],
        configuration=configuration,
        previous=options["previous"],
        previous_version=options["previous_version"],
        may_lack=options["may_lack"],
        is_flat=options["is_flat"],
        golden=options["golden"] or 0,
    )
    onboarded = await onboard(settings, wish)
    return onboarded._replace(notes=[*converted, *onboarded.notes])


async def _with_packages(settings: Settings, model: Path, options: Mapping[str, Any], scratch: Path) -> Path:
    """Return a copy of a Python model with a lock, its packages' wheels, or both."""
    import asyncio  # noqa: PLC0415 - for this alone

    from hotswap.packages.locking import lock  # noqa: PLC0415 - as onboarding
    from hotswap.packages.vendoring import vendor  # noqa: PLC0415 - as onboarding

    if options["is_locked"]:
        note(f"locking the packages of {model}")
        model = await asyncio.to_thread(lock, settings, model, scratch)
    if options["is_vendored"]:
        note(f"downloading the wheels that {model} has locked")
        model = await asyncio.to_thread(vendor, settings, model, scratch)
    return model


async def _convert(
    settings: Settings, model: Path, configuration: Configuration, options: Mapping[str, Any], scratch: Path
) -> tuple[Path, list[str]]:
    from hotswap.packages.sklearn.conversion import ConversionRequest, convert  # noqa: PLC0415 - as onboarding

    if options["sample"] in (None, Path("-")):
        raise UsageError(
            f"{model} may hold a model of scikit-learn, whose conversion to ONNX is checked on rows: pass "
            "a file with --sample data.csv, with the names of its columns as header"
        )
    request = ConversionRequest(
        model=model,
        sample=options["sample"],
        text=configuration.text,
        cache=settings.cache,
        python=options["python"],
        trusts_pickle=options["trusts_pickle"],
        trusts_types=[name.strip() for name in options["trust_types"].split(",") if name.strip()],
        tolerance=options["tolerance"],
    )
    return await convert(request, scratch, note)


def _flat_notes(schema: Schema, *, is_flat: bool) -> list[str]:
    """Return a note if the Open Inference Protocol, with its tensors of scalars, cannot use the draft."""
    messages = [message for each in schema.operations.values() for message in (each.input, each.output)]
    repeated = [part.name for message in messages for part in descriptor_of(message).fields if part.is_repeated]
    if not repeated:
        return []
    reason = f"the model has lists ({', '.join(repeated)})" if is_flat else "--flat drafts one that it can use"
    return [f"the gateway's /v2 (Open Inference Protocol) cannot use this proto, which has repeated fields: {reason}"]
