"""`hotswap keys`: make signing keys, list the trusted ones, and require signatures."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    local_file,
    make_settings,
    out,
    print_json,
    run,
    show,
    table,
)
from hotswap.cli.swap import follow_command, follow_options, settings_of
from hotswap.errors import UsageError
from hotswap.trust.roles import EVERY, SigningRole

with late:
    from hotswap.client.overview import read_history
    from hotswap.settings import Settings
    from hotswap.trust.file import Key, Trust, parse
    from hotswap.trust.guard import Guard
    from hotswap.trust.keys import Signer


@click.group()
def keys() -> None:
    """The keys that sign commands: make one, list the trusted ones, require signatures."""


@keys.command()
@click.argument("file", type=local_file)
@click.option("--name", metavar="NAME", help="The owner's name. [default: the file's name]")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in SigningRole]),
    multiple=True,
    default=[role.value for role in SigningRole if role is not SigningRole.TRUST],
    show_default=True,
    help="A role of the key; may be repeated.",
)
@click.option(
    "--deployment",
    "deployments",
    multiple=True,
    required=True,
    metavar="NAME",
    help=f"A deployment that it may command; may be repeated. '{EVERY}': all.",
)
@click.option("--days", type=click.IntRange(1, 3_650), default=365, show_default=True, help="The validity of the key.")
def new(file: Path, name: str | None, days: int, **limits: Sequence[str]) -> None:
    """Write a new private key to FILE, and print its entry for the trust file.

    Add the entry to the file that HOTSWAP_TRUST names, on every worker and client, before the key signs. An
    entry stays there after its key has expired: its signatures are verified at every replay.
    """
    signer, now = Signer.new(), datetime.now(UTC)
    entry = {
        "name": name or file.stem,
        "public": b64encode(signer.public),
        "not_before": now.replace(microsecond=0),
        "not_after": now.replace(microsecond=0) + timedelta(days=days),
    }
    document = Key.model_validate(entry | limits).document()
    parse(document.encode(), "entry")  # the printed entry must be readable
    signer.write(file)
    note(f"the private key is in {file}: anybody with that file can sign as {signer.id}")
    show(document)


@keys.command(name="list")
@click.argument("deployment", required=False)
@click.option("--kafka", metavar="HOST:PORT", help="Bootstrap servers. [default: HOTSWAP_KAFKA]")
@json_option
def list_(deployment: str | None, kafka: str | None, is_json: bool) -> None:  # noqa: FBT001 - click's
    """List the keys of the trust file; with DEPLOYMENT, whether its commands must be signed, and by which keys.

    Revocations are read from the control topic, only with DEPLOYMENT.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    if settings.trust is None:
        raise UsageError("there is no trust file: set HOTSWAP_TRUST to the file with the entries of `hotswap keys new`")
    trust = Trust.read(settings.trust)
    guard = run(_guard(settings)) if deployment else Guard("")
    documents = [_document(key, guard) for key in trust.keys.values()]
    if is_json:
        print_json({"sha256": trust.sha256, "signed_since": guard.since, "keys": documents})
        return
    columns = ("id", "name", "roles", "deployments", "not_before", "not_after", "state")
    out().print(
        table(f"{settings.trust} {trust.sha256}", columns, ([one[name] for name in columns] for one in documents))
    )
    if deployment:
        must = "need no signature" if guard.since is None else f"must be signed since offset {guard.since}"
        show(f"commands for {deployment} {must}")


@keys.command()
@deployment_argument
@click.option("--revoke", multiple=True, metavar="ID", help="A key to revoke; may be repeated.")
@follow_options
def require(deployment: str, **options: Any) -> None:
    """Require signatures on all further commands for DEPLOYMENT, and revoke keys; this is irreversible.

    It must be signed by a key with the role `trust`. Accepted commands stay accepted: look at `hotswap status` before.
    Workers of an older version ignore this command, and accept unsigned ones: upgrade them first.
    """
    follow_command(settings_of(deployment, options), lambda client: client.trust(options["revoke"]), options)


async def _guard(settings: Settings) -> Guard:
    return (await read_history(settings)).fold.guard


def _document(key: Key, guard: Guard) -> dict[str, str]:
    now, state = datetime.now(UTC), "signs"
    if key.id in guard.revoked:
        state = f"revoked at offset {guard.revoked[key.id]}"
    elif now > key.not_after:
        state = "ended"
    elif now < key.not_before:
        state = "not yet"
    return {
        "id": key.id,
        "name": key.name,
        "roles": ", ".join(sorted(key.roles)),
        "deployments": ", ".join(sorted(key.deployments)),
        "not_before": str(key.not_before),
        "not_after": str(key.not_after),
        "state": state,
    }
