"""`hotswap abort-transaction`: ends a transaction that hangs, which `hotswap doctor` names."""

from __future__ import annotations

import click

from hotswap.cli.late import late
from hotswap.cli.shared import deployment_argument, kafka_option, make_settings, run, show

with late:
    from hotswap.client.abort import Which, abort, read_hanging, steps
    from hotswap.client.hanging import described


@click.command()
@deployment_argument
@click.option("--topic", required=True, help="A topic of the deployment.")
@click.option("--partition", required=True, type=click.IntRange(min=0), metavar="N", help="Its partition.")
@click.option("--producer-id", required=True, type=click.IntRange(min=0), metavar="ID", help="As `doctor` says.")
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
@kafka_option
def abort_transaction(
    deployment: str,
    topic: str,
    partition: int,
    producer_id: int,
    is_sure: bool,  # noqa: FBT001
    kafka: str | None,
) -> None:
    """Abort a transaction that hangs on a topic of a deployment, as `doctor` names it; asks first.

    Only one that has been open for longer than its time-out, that no coordinator knows, or that is of a transactional
    id of the deployment and was not committed; any other is refused, and why. It needs the right Alter of the cluster,
    Describe of all transactional ids, and for one of the deployment's ids Write of it.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    found = run(read_hanging(settings, Which(topic, partition, producer_id)))
    show("\n".join([described(found), "This will:", *(f"  {step}" for step in steps(found))]))
    if not is_sure:
        click.confirm("Abort this transaction?", abort=True)
    run(abort(settings, found))
    show("the transaction is aborted")
