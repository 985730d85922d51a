"""`hotswap move`: continue a deployment under another name, on the same topics."""

from __future__ import annotations

import contextlib
from typing import Any

import click

from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    make_settings,
    print_json,
    run,
    show,
    sign_option,
)
from hotswap.errors import TooOld, UsageError

with late:
    from hotswap.client.client import Client
    from hotswap.kafka.partition.moving import carry_over, check_move
    from hotswap.kafka.topics.admin import Admin
    from hotswap.settings import Settings


@click.command()
@deployment_argument
@click.argument("name")
@sign_option
@kafka_option
@json_option
def move(deployment: str, name: str, is_json: bool, **options: Any) -> None:  # noqa: FBT001 - click's
    """Continue a deployment as NAME, with generations from 1 again, when its numbers are used up.

    Or when its control log has a command that only a later version could read, and there is none.

    Stop its workers first. NAME's group then starts where the answers of the old one end, so that each request is
    answered once, by one of the two. The topics of requests and answers stay the same, by the printed settings. The old
    deployment is paused, so that its workers, if started again, do not answer beside the new ones. If the log has a
    command of a later version, it cannot be paused; but workers of this version answer nothing there.
    """
    old = make_settings(deployment=deployment, **options)
    topics = {f"{role}_topic": getattr(old.topics, role) for role in ("requests", "predictions", "dead_letters")}
    group = {"group": name} if old.group else {}
    new = old.model_copy(update={"deployment": name} | topics | group)
    is_paused, offsets = run(_move(old, new))
    variables = {f"HOTSWAP_{key.upper()}": value for key, value in (topics | group).items()}
    if is_json:
        print_json({"deployment": name, "offsets": offsets, "settings": variables})
    else:
        show(_next_steps(f"{deployment} is {'paused' if is_paused else 'held'}", name, offsets, variables))


async def _move(old: Settings, new: Settings) -> tuple[bool, dict[int, int]]:
    """Move the group; return whether the old deployment is paused, and partition -> next offset of the new one."""
    is_paused = False
    if not new.deployment:
        raise UsageError("the new deployment needs a name: NAME is empty")
    async with Admin.connect(old) as admin:
        await check_move(admin, old, new)
    async with Client(old) as client:
        with contextlib.suppress(TooOld):
            await client.pause()
            is_paused = True
    return is_paused, await carry_over(old, new)


def _next_steps(before: str, new: str, offsets: dict[int, int], variables: dict[str, str]) -> str:
    """Return the commands to copy."""
    places = "\n".join(f"partition {number}: from offset {offset} on" for number, offset in offsets.items())
    exports = "\n".join(f"    export {name}={value}" for name, value in variables.items())
    return f"""{places}

{before}, and {new} continues there with its first generation. For its workers and commands:

{exports}
    hotswap topics create {new}
    hotswap run {new}
    hotswap swap {new} --model MODEL --proto PROTO"""
