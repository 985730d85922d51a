"""`hotswap swap`, `rollback`, `pause`, `resume` and `skip`: a command to the fleet, and the fleet's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.files import package_option, parts_of
from hotswap.cli.late import late, later
from hotswap.cli.shared import (
    Counted,
    deployment_argument,
    json_option,
    kafka_option,
    kind_option,
    local_file,
    make_settings,
    out,
    print_json,
    run,
    show,
    sign_option,
)
from hotswap.client.cut import Cut
from hotswap.errors import UsageError
from hotswap.generation import MOST

with late:
    from hotswap.cli.follow import Publish, outcomes, publish_and_follow, title_of, what_went_wrong
    from hotswap.client.change import Change, Receipt
    from hotswap.client.client import Client
    from hotswap.client.fleet import FleetAnswer
    from hotswap.settings import Settings

with later:
    from hotswap.cli.samples import read_samples
    from hotswap.client.forget import forget as hide
    from hotswap.trust.model_signature import verify_model

_MOST_PARTITION, _MOST_OFFSET = 2**31 - 1, 2**63 - 1

number = click.IntRange(min=1, max=MOST)
wait_option = click.option(
    "--wait/--no-wait", "is_waiting", default=True, show_default=True, help="Wait for the answer of the whole fleet."
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="How long to wait. [default: the deadline]",
)


def follow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command: how to sign it, how long to wait for its outcome, and how to print that."""
    for option in (json_option, kafka_option, sign_option, timeout_option, wait_option):
        command = option(command)
    return command


def settings_of(deployment: str, given: Mapping[str, Any]) -> Settings:
    """Return the settings for a command with the `follow_options`."""
    return make_settings(deployment=deployment, kafka=given["kafka"], sign_with=given["sign_with"])


def cut_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the new generation takes over; by default the protos decide it."""
    flag = click.option(
        "--after-backlog",
        "cut",
        flag_value="after-backlog",
        help="The old generation answers what is published by now.",
    )(command)
    flag = click.option("--at-once", "cut", flag_value="at-once", help="Each partition at its next batch.")(flag)
    cuts = [cut.value for cut in Cut]
    return click.option(
        "--cut", "cut", type=click.Choice(cuts), default="auto", show_default=True, metavar="WHEN",
        help=f"{', '.join(cuts)}; auto: after the backlog if the proto changes incompatibly, otherwise at once.",
    )(flag)  # fmt: skip


@click.command()
@deployment_argument
@click.option("--model", metavar="FILE|URI", help="The model; a file or folder is uploaded to HOTSWAP_STORE.")
@click.option("--model-sha256", metavar="DIGEST", help="The SHA-256 of a model given by its URI.")
@kind_option
@click.option("--name", metavar="NAME", help="What to call the model. [default: its file's or package's name]")
@click.option("--proto", metavar="FILE|URI", help="A .proto, or a descriptor set (.desc, .binpb).")
@click.option("--proto-sha256", metavar="DIGEST", help="The SHA-256 of a proto given by its URI.")
@click.option("--config", type=local_file, metavar="FILE", help="The configuration: JSON, or modelConfig.properties.")
@click.option(
    "--samples", type=local_file, metavar="FILE", help="CSV or JSON rows that it must score before it serves."
)
@package_option
@click.option(
    "--verify-with",
    type=local_file,
    metavar="KEY",
    help="The public key (PEM) by which the OpenSSF signature of the model or package is verified before the upload.",
)
@click.option("--signature", type=local_file, metavar="FILE", help="That signature. [default: its path and .sig]")
@click.option("--generation", cls=Counted, type=number, metavar="N", help="Its number. [default: the next one]")
@click.option(
    "--base", cls=Counted, type=number, metavar="N", help="The generation to inherit from. [default: what serves]"
)
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="How long a worker may take to stage it.",
)
@cut_options
@follow_options
def swap(deployment: str, **given: Any) -> None:
    """Swap the model, the proto, the configuration, or any of them; the rest is inherited.

    The new generation is fetched, checked, loaded and warmed beside the one that serves, and takes over between two
    batches. If it fails, nothing changes, and the reasons are printed.
    """
    settings = settings_of(deployment, given)
    _verify(given)

    async def publish(client: Client) -> Receipt:
        with parts_of(given) as parts:
            samples = parts.samples
            if given["samples"]:
                samples = await read_samples(settings, given["samples"], parts.proto, parts.configuration)
            change = Change(
                model=parts.model,
                kind=parts.kind,
                name=given["name"] or parts.name,
                proto=parts.proto,
                configuration=parts.configuration,
                samples=samples,
                generation=given["generation"],
                base=given["base"],
                cut=Cut(given["cut"]),
                deadline_s=given["deadline_s"],
            )
            return await client.swap(change)

    follow_command(settings, publish, given)


def _verify(given: Mapping[str, Any]) -> None:
    """Verify the model's or the package's signature, if that is asked for."""
    key, signature = given["verify_with"], given["signature"]
    named = [one for one in (given["package"], given["model"]) if one]
    if key is None:
        if signature:
            raise UsageError("--signature needs --verify-with, the public key that it is verified by")
        return
    if len(named) != 1 or "://" in str(named[0]):
        raise UsageError("--verify-with verifies what is uploaded: name one file or folder, by --model or --package")
    verify_model(Path(named[0]), signature or Path(f"{named[0]}.sig"), key)
    note(f"hotswap: {named[0]} is as its signature says")


@click.command()
@deployment_argument
@click.option(
    "--to", cls=Counted, type=number, metavar="N", help="The generation. [default: the one that served before]"
)
@cut_options
@follow_options
def rollback(deployment: str, **given: Any) -> None:
    """Serve an older generation's parts again, as a new generation."""
    settings = settings_of(deployment, given)
    follow_command(settings, lambda client: client.rollback(given["to"], cut=Cut(given["cut"])), given)


@click.command()
@deployment_argument
@follow_options
def pause(deployment: str, **given: Any) -> None:
    """Stop taking batches on every partition, until `resume`."""
    follow_command(settings_of(deployment, given), Client.pause, given)


@click.command()
@deployment_argument
@follow_options
def resume(deployment: str, **given: Any) -> None:
    """Resume after `pause`."""
    follow_command(settings_of(deployment, given), Client.resume, given)


@click.command()
@deployment_argument
@click.option(
    "--partition",
    cls=Counted,
    type=click.IntRange(0, _MOST_PARTITION),
    required=True,
    metavar="N",
    help="Its partition.",
)
@click.option(
    "--offset",
    cls=Counted,
    type=click.IntRange(0, _MOST_OFFSET),
    required=True,
    metavar="N",
    help="As `hotswap status` prints it.",
)
@follow_options
def skip(deployment: str, **given: Any) -> None:
    """Skip a damaged batch that holds its partition: each request in it is refused as UNREADABLE.

    If the batch at this offset is intact, nothing is skipped.
    """
    settings = settings_of(deployment, given)
    follow_command(settings, lambda client: client.skip(given["partition"], given["offset"]), given)


@click.command()
@deployment_argument
@kafka_option
def forget(deployment: str, kafka: str | None) -> None:
    """Hide a deployment from `hotswap status`, as after a misspelt name.

    A later command for it shows it again. Refused while its workers live, or if its group has answered requests. Its
    topics and its numbers stay as they are.
    """
    run(hide(make_settings(deployment=deployment, kafka=kafka)))
    show(f"`hotswap status` does not list {deployment} any more")


def follow_command(settings: Settings, publish: Publish, given: Mapping[str, Any]) -> None:
    """Publish a command with the `follow_options`, and print its outcome on each worker."""
    following = publish_and_follow(settings, publish, is_waiting=given["is_waiting"], timeout_s=given["timeout_s"])
    receipt, answer = run(following)
    if given["is_json"]:
        print_json(_document(receipt, answer))
    elif answer is None:
        show(f"{title_of(receipt)} accepted")
    else:
        out().print(outcomes(settings.deployment, receipt, answer.told))
    if answer and not answer.is_good:
        raise Failure(what_went_wrong(receipt, answer), REFUSED)


def _document(receipt: Receipt, answer: FleetAnswer | None) -> dict[str, Any]:
    workers = {
        worker: {
            "outcome": told.outcome,
            "code": told.code,
            "message": told.message,
            "phase_seconds": dict(told.phase_seconds),
        }
        for worker, told in (answer.told if answer else {}).items()
    }
    return {
        "command_id": receipt.command_id,
        "generation": receipt.generation,
        "cut": dict(receipt.cut),
        "incompatible": list(receipt.incompatible),
        "is_complete": bool(answer and answer.is_complete),
        "is_good": bool(answer and answer.is_good),
        "workers": workers,
        "missing": list(answer.missing if answer else ()),
        "unconfirmed": answer.unconfirmed if answer else "",
        "unverified": answer.unverified if answer else "",
    }
