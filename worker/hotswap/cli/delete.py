"""`hotswap delete`: delete a deployment's group and topics, for good."""

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
@click.option("--yes", "is_sure", is_flag=True, help="Delete without confirmation.")
@kafka_option
def delete(deployment: str, kafka: str | None, is_sure: bool) -> None:  # noqa: FBT001 - click's
    """Delete a deployment's consumer group, and the topics that are its alone, for good; asks first.

    Refused while it has live workers. The topics of requests, predictions and dead letters are deleted if they have the
    default names and no other group has offsets on the requests. The control and status topics and all artifacts stay;
    everything that stays is listed with the reason. `hotswap status` no longer lists the deployment.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    plan = run(read_plan(settings))
    if plan.refusal:
        raise UsageError(plan.refusal)
    show(_lines(deployment, plan))
    if not is_sure:
        click.confirm("Delete this for good?", abort=True)
    run(delete_now(settings, plan))
    show(f"{deployment} is deleted; `hotswap status` no longer lists it")


def _lines(deployment: str, plan: DeletionPlan) -> str:
    deletions = [
        *([f"group {plan.group}, with its offsets"] if plan.group else []),
        *(f"topic {one}" for one in plan.topics),
    ]
    deleted = (
        "".join(f"  {what}\n" for what in deletions) or "  nothing: no group, and no topic of this deployment alone\n"
    )
    stays = "".join(f"  {what}: {why}\n" for what, why in plan.stays)
    return f"To be deleted of {deployment}:\n{deleted}To be kept:\n{stays}".rstrip()
