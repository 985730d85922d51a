"""`hotswap swap`, `rollback`, `pause`, `resume` and `skip`: a command to the fleet, and the fleet's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.files import downloaded, golden_of, package_option, parts_of, tolerances_of
from hotswap.cli.late import late, later
from hotswap.cli.rollouts import rollout_of, rollout_options
from hotswap.cli.shared import (
    OpenRangeOption,
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
    from hotswap.cli.follow import Publish, failure_of, outcomes, publish_and_follow, title_of
    from hotswap.client.change import Change, Receipt
    from hotswap.client.client import Client
    from hotswap.client.fleet import FleetAnswer
    from hotswap.settings import Settings

with later:
    from hotswap.cli.check import check_command
    from hotswap.cli.samples import read_samples
    from hotswap.client.forget import forget as hide
    from hotswap.trust.model_signature import verify_model

if TYPE_CHECKING:
    from hotswap.cli.files import Parts
    from hotswap.client.change import Rollout
    from hotswap.client.plan import SwapPlan
    from hotswap.client.planning import Planner

_MOST_PARTITION, _MOST_OFFSET = 2**31 - 1, 2**63 - 1

check_option = click.option(
    "--check",
    "is_checking",
    is_flag=True,
    help="Check everything short of the command, on this machine too, and write nothing.",
)
number = click.IntRange(min=1, max=MOST)
wait_option = click.option(
    "--wait/--no-wait", "is_waiting", default=True, show_default=True, help="Wait for the whole fleet's answer."
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="The time-out for that. [default: the deadline]",
)


def follow_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command: signing, waiting for the outcome, and its format."""
    for option in (json_option, kafka_option, sign_option, timeout_option, wait_option):
        command = option(command)
    return command


def settings_of(deployment: str, options: Mapping[str, Any]) -> Settings:
    """Return the settings for a command with the `follow_options`."""
    return make_settings(deployment=deployment, kafka=options["kafka"], sign_with=options["sign_with"])


def cut_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options for the cut; by default the protos decide it."""
    flag = click.option(
        "--after-backlog",
        "cut",
        flag_value="after-backlog",
        help="The old generation answers the requests published until now.",
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
@click.option("--model-sha256", metavar="DIGEST", help="The SHA-256 of a model at a URI.")
@kind_option
@click.option("--name", metavar="NAME", help="The model's name. [default: its file's or package's]")
@click.option("--proto", metavar="FILE|URI", help="A .proto, or a descriptor set (.desc, .binpb).")
@click.option("--proto-sha256", metavar="DIGEST", help="The SHA-256 of a proto at a URI.")
@click.option("--config", type=local_file, metavar="FILE", help="The configuration: JSON, or modelConfig.properties.")
@click.option("--samples", type=local_file, metavar="FILE", help="CSV or JSON rows that it must score first.")
@click.option(
    "--golden",
    metavar="inherit|none|FILE",
    help="Rows with the answers that it must give (CSV or JSON), or what becomes of those of the generation before.",
)
@click.option(
    "--golden-tolerance",
    "tolerances",
    multiple=True,
    metavar="FIELD=N",
    help="By how much a number of the answers may differ, absolutely. [default: 1e-6, or as much relatively]",
)
@package_option
@click.option(
    "--verify-with",
    type=local_file,
    metavar="KEY",
    help="The public key (PEM) that verifies the OpenSSF signature of the model or package before the upload.",
)
@click.option(
    "--signature", type=local_file, metavar="FILE", help="The signature. [default: the signed path with .sig]"
)
@click.option("--generation", cls=OpenRangeOption, type=number, metavar="N", help="Its number. [default: the next one]")
@click.option(
    "--base",
    cls=OpenRangeOption,
    type=number,
    metavar="N",
    help="The generation to inherit from. [default: the serving one]",
)
@click.option(
    "--deadline",
    "deadline_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="The time-out for a worker to stage it.",
)
@cut_options
@rollout_options
@check_option
@follow_options
def swap(deployment: str, **options: Any) -> None:
    """Swap the model, the proto, the configuration, or any of them; the rest is inherited.

    The new generation is fetched, checked, loaded and warmed beside the one that serves, and takes over between two
    batches. If it fails, nothing changes, and the reasons are printed. If the proto changes incompatibly, it is staged
    on all workers first, and then promoted. --model takes models:/name@alias, models:/name/7 and runs:/id/path, too, of
    MLflow's server at MLFLOW_TRACKING_URI: it is downloaded here.
    """
    with downloaded(options) as found:
        _swap(settings_of(deployment, found), found)


def _swap(settings: Settings, options: Mapping[str, Any]) -> None:
    _verify(options)
    rollout = rollout_of(options)

    async def publish(client: Client) -> Receipt:
        with parts_of(options) as parts:
            return await client.swap(await _change(settings, parts, options, rollout))

    async def plan(planner: Planner) -> SwapPlan:
        with parts_of(options) as parts:
            return await planner.swap(await _change(settings, parts, options, rollout))

    if options["is_checking"]:
        check_command(settings, plan, is_json=options["is_json"])
    else:
        follow_command(settings, publish, options)


async def _change(settings: Settings, parts: Parts, options: Mapping[str, Any], rollout: Rollout | None) -> Change:
    samples = parts.samples
    if options["samples"]:
        samples = await read_samples(settings, options["samples"], parts.proto, parts.configuration)
    return Change(
        model=parts.model,
        kind=parts.kind,
        name=options["name"] or parts.name,
        proto=parts.proto,
        configuration=parts.configuration,
        samples=samples,
        generation=options["generation"],
        base=options["base"],
        cut=Cut(options["cut"]),
        deadline_s=options["deadline_s"],
        rollout=rollout,
        golden=golden_of(options["golden"]) or parts.golden,
        golden_tolerances=tolerances_of(options["tolerances"]),
    )


def _verify(options: Mapping[str, Any]) -> None:
    """Verify the signature of the model or package if requested."""
    key, signature = options["verify_with"], options["signature"]
    targets = [one for one in (options["package"], options["model"]) if one]
    if key is None:
        if signature:
            raise UsageError("--signature needs --verify-with, the public key that verifies it")
        return
    if len(targets) != 1 or "://" in str(targets[0]):
        raise UsageError("--verify-with needs exactly one upload: a file or folder by --model or --package")
    verify_model(Path(targets[0]), signature or Path(f"{targets[0]}.sig"), key)
    note(f"hotswap: the signature of {targets[0]} is valid")


@click.command()
@deployment_argument
@click.option(
    "--to", cls=OpenRangeOption, type=number, metavar="N", help="The generation. [default: the previously serving one]"
)
@cut_options
@rollout_options
@check_option
@follow_options
def rollback(deployment: str, **options: Any) -> None:
    """Serve an older generation's parts again, as a new generation."""
    settings, rollout = settings_of(deployment, options), rollout_of(options)
    to, cut = options["to"], Cut(options["cut"])
    if options["is_checking"]:
        check_command(
            settings, lambda planner: planner.rollback(to, cut=cut, rollout=rollout), is_json=options["is_json"]
        )
    else:
        follow_command(settings, lambda client: client.rollback(to, cut=cut, rollout=rollout), options)


@click.command()
@deployment_argument
@follow_options
def pause(deployment: str, **options: Any) -> None:
    """Stop taking batches on every partition, until `resume`."""
    follow_command(settings_of(deployment, options), Client.pause, options)


@click.command()
@deployment_argument
@follow_options
def resume(deployment: str, **options: Any) -> None:
    """Resume after `pause`."""
    follow_command(settings_of(deployment, options), Client.resume, options)


@click.command()
@deployment_argument
@click.option(
    "--partition",
    cls=OpenRangeOption,
    type=click.IntRange(0, _MOST_PARTITION),
    required=True,
    metavar="N",
    help="Its partition.",
)
@click.option(
    "--offset",
    cls=OpenRangeOption,
    type=click.IntRange(0, _MOST_OFFSET),
    required=True,
    metavar="N",
    help="As `hotswap status` prints it.",
)
@follow_options
def skip(deployment: str, **options: Any) -> None:
    """Skip a damaged batch that holds its partition: each request in it is refused as UNREADABLE.

    If the batch at this offset is intact, nothing is skipped.
    """
    settings = settings_of(deployment, options)
    follow_command(settings, lambda client: client.skip(options["partition"], options["offset"]), options)


@click.command()
@deployment_argument
@kafka_option
def forget(deployment: str, kafka: str | None) -> None:
    """Hide a deployment from `hotswap status`, as after a misspelt name.

    A later command for it shows it again. Refused while it has live workers, or if its group has answered requests.
    Its topics and its numbers stay unchanged.
    """
    run(hide(make_settings(deployment=deployment, kafka=kafka)))
    show(f"`hotswap status` no longer lists {deployment}")


def follow_command(settings: Settings, publish: Publish, options: Mapping[str, Any]) -> None:
    """Publish a command with the `follow_options`, and print its outcome on each worker."""
    following = publish_and_follow(settings, publish, is_waiting=options["is_waiting"], timeout_s=options["timeout_s"])
    receipt, answer = run(following)
    if options["is_json"]:
        print_json(_document(receipt, answer))
    elif answer is None:
        show(f"{title_of(receipt)} accepted")
    else:
        out().print(outcomes(settings.deployment, receipt, answer.told))
    if answer and not answer.is_good:
        raise Failure(failure_of(receipt, answer), REFUSED)


def _document(receipt: Receipt, answer: FleetAnswer | None) -> dict[str, Any]:
    workers = {
        worker: {
            "outcome": report.outcome,
            "code": report.code,
            "message": report.message,
            "phase_seconds": dict(report.phase_seconds),
        }
        for worker, report in (answer.told if answer else {}).items()
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
