"""`hotswap store`: list and restore a deployment's missing artifacts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hotswap.cli.exits import REFUSED, UNREACHABLE, Failure, note
from hotswap.cli.late import late
from hotswap.cli.shared import (
    check_order,
    deployment_argument,
    json_option,
    kafka_option,
    local_model,
    make_settings,
    print_json,
    run,
    show,
)

with late:
    import asyncio

    from hotswap.client.needed import Needed, Presence
    from hotswap.client.overview import overview
    from hotswap.client.stored import ArtifactOutcome, Restored, Restorer, look
    from hotswap.settings import Settings


@click.group()
def store() -> None:
    """The artifacts of a deployment in their stores: list the missing ones, and restore them."""


@store.command()
@deployment_argument
@kafka_option
@json_option
def verify(deployment: str, **options: Any) -> None:
    """List the artifacts that DEPLOYMENT needs, and mark those missing in their stores.

    These are the models and protos of the serving generation and of each possible target of a rollback. They are not
    fetched. Exits with 1 if one is missing, with 3 if a store does not answer.
    """
    settings = make_settings(deployment=deployment, kafka=options["kafka"])
    presences = run(_look(settings))
    _report(settings, [Restored(one, ArtifactOutcome(state), why) for one, (state, why) in presences.items()], options)


@store.command()
@deployment_argument
@click.argument("files", type=local_model, metavar="[FILE]...", nargs=-1)
@kafka_option
@json_option
def restore(deployment: str, files: tuple[Path, ...], **options: Any) -> None:
    """Restore the artifacts that DEPLOYMENT needs and that are missing in their stores.

    They come from the FILEs, or from this machine's cache (HOTSWAP_CACHE), which has the artifacts that a worker or a
    gateway fetched here. Each is verified by its digest in the control log; nothing is overwritten. Exits with 1 if an
    artifact is still missing.
    """
    for file in files:
        check_order(deployment, file)
    settings = make_settings(deployment=deployment, kafka=options["kafka"])
    presences = run(_look(settings))
    with Restorer(settings, files) as restorer:
        results = run(asyncio.to_thread(lambda: list(restorer.restore(presences))))
        unneeded = list(restorer.unneeded(presences))
    for line in unneeded:
        note(line)
    _report(settings, results, options, is_refused=bool(unneeded))


async def _look(settings: Settings) -> dict[Needed, Presence]:
    return await look(settings, (await overview(settings)).needed)


def _report(
    settings: Settings, results: Iterable[Restored], options: dict[str, Any], *, is_refused: bool = False
) -> None:
    results = list(results)
    if options["is_json"]:
        print_json({"deployment": settings.deployment, "artifacts": [_document(one) for one in results]})
    for one in () if options["is_json"] else results:
        show(f"{one.outcome:<8}  {one.needed.title}{' (serves)' * one.needed.serves}: {one.needed.place}{_why(one)}")
    bad = [one for one in results if not one.is_good]
    if bad and all(one.outcome in (ArtifactOutcome.UNKNOWN, ArtifactOutcome.DENIED) for one in bad):
        raise Failure(f"{len(bad)} of {len(results)} artifacts could not be checked from here", UNREACHABLE)
    if bad:
        how = f"`hotswap store restore {settings.deployment} [FILE]...` restores files with the right SHA-256"
        raise Failure(f"{len(bad)} of {len(results)} artifacts are not in their stores: {how}", REFUSED)
    if is_refused:
        raise click.exceptions.Exit(REFUSED)
    note(f"all {len(results)} artifacts that {settings.deployment} needs are in their stores")


def _why(one: Restored) -> str:
    if one.outcome is ArtifactOutcome.RESTORED:
        return f", from {one.what}"
    return f" -> {one.what}" if one.what else ""


def _document(one: Restored) -> dict[str, Any]:
    return {
        "state": one.outcome,
        "part": one.needed.part,
        "uri": one.needed.place,
        "sha256": one.needed.sha256,
        "generations": list(one.needed.generations),
        "serves": one.needed.serves,
        "what": one.what,
    }
