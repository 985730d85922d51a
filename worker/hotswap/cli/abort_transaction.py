"""`hotswap abort-transaction`: abort a hanging transaction, as listed by `hotswap doctor`."""

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
@click.option("--producer-id", required=True, type=click.IntRange(min=0), metavar="ID", help="As `doctor` prints it.")
@click.option("--yes", "is_sure", is_flag=True, help="Abort without confirmation.")
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

    Only one that has been open for longer than its time-out, that no coordinator knows, or that has a transactional id
    of the deployment and was not committed; any other is refused, with the reason. It needs Alter on the cluster,
    Describe on all transactional ids, and Write on the id if it is one of the deployment's.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)
    hanging = run(read_hanging(settings, Which(topic, partition, producer_id)))
    show("\n".join([described(hanging), "This will:", *(f"  {step}" for step in steps(hanging))]))
    if not is_sure:
        click.confirm("Abort this transaction?", abort=True)
    run(abort(settings, hanging))
    show("the transaction is aborted")
