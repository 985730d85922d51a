"""`hotswap delete`: a deployment's group and topics, for good."""

from __future__ import annotations

import click

from hotswap.cli.late import late
from hotswap.cli.shared import deployment_argument, kafka_option, make_settings, run, show
from hotswap.errors import UsageError

with late:
    from hotswap.client.delete import delete as delete_now
    from hotswap.client.delete import read_plan
    from hotswap.client.deletion import DeletionPlan


@click.command()
@deployment_argument
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@kafka_option
def delete(deployment: str, kafka: str | None, is_sure: bool) -> None:  # noqa: FBT001 - click's
    """Delete a deployment's consumer group, and the topics that are its alone, for good; asks first.

    Refused while workers of it live. The requests, predictions and dead letters go if their names are the default ones
    and no other group has offsets on the requests. The control and the status topic and all artifacts stay; what stays
    is listed, and why. Then `hotswap status` does not list it any more.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    plan = run(read_plan(settings))
    if plan.refusal:
        raise UsageError(plan.refusal)
    show(_lines(deployment, plan))
    if not is_sure:
        click.confirm("Delete this for good?", abort=True)
    run(delete_now(settings, plan))
    show(f"{deployment} is deleted, and `hotswap status` does not list it any more")


def _lines(deployment: str, plan: DeletionPlan) -> str:
    gone = [
        *([f"group {plan.group}, with its offsets"] if plan.group else []),
        *(f"topic {one}" for one in plan.topics),
    ]
    deleted = (
        "".join(f"  {what}\n" for what in gone) or "  nothing: there is no group, and no topic that is its alone\n"
    )
    stays = "".join(f"  {what}: {why}\n" for what, why in plan.stays)
    return f"Of {deployment}, this is deleted:\n{deleted}This stays:\n{stays}".rstrip()
