"""The deletion of a deployment by a plan of `client/deletion.py`."""

import time

from hotswap.client.deletion import DeletionPlan, Facts, plan_of
from hotswap.client.forget import forget
from hotswap.client.overview import read_fleet, read_history
from hotswap.errors import UsageError
from hotswap.kafka.topics.control_topic import settled
from hotswap.kafka.topics.removal import Remover
from hotswap.settings import Settings


async def read_plan(settings: Settings) -> DeletionPlan:
    """Return the plan of a deletion now.

    Raises:
        StartError: no broker answers, or there is no status topic.
        Doubt: Kafka did not answer in time.
        Denied: this user lacks a right.

    """
    settings = await settled(settings)
    unnamed = dict.fromkeys(("requests_topic", "predictions_topic", "dead_letters_topic", "control_topic"))
    fleet = await read_fleet(settings)
    has_own_requests = settings.topics.requests == settings.model_copy(update=unnamed).topics.requests
    is_shadow = not has_own_requests and (await read_history(settings)).timeline.shadowed is not None
    async with Remover.connect(settings) as admin:
        counts = await admin.counts(settings.topics)
        readers, unseen = await admin.readers(settings.topics.requests)
        facts = Facts(
            deployment=settings.deployment,
            topics=settings.topics,
            defaults=settings.model_copy(update=unnamed).topics,
            group=settings.group_id,
            existing=frozenset(topic for topic, count in counts.items() if count),
            groups=frozenset(await admin.groups()),
            workers=tuple(sorted(fleet.live(time.time()))),
            members=tuple(sorted((await admin.group(settings.group_id)).members.values())),
            readers=tuple(readers),
            unseen=unseen,
            is_shadow=is_shadow,
        )
    return plan_of(facts)


async def delete(settings: Settings, plan: DeletionPlan) -> None:
    """Delete the group and topics of a plan, and forget the deployment; after a failure, another call deletes the rest.

    Raises:
        UsageError: it is refused, or the plan is out of date.
        Doubt: Kafka did not answer in time, or a worker has joined the group meanwhile.
        Denied: this user lacks a right.

    """
    now = await read_plan(settings)
    if now.refusal:
        raise UsageError(now.refusal)
    if now != plan:
        raise UsageError(f"what would be deleted of {settings.deployment} has changed meanwhile: look at it again")
    async with Remover.connect(settings) as admin:
        # Delete the group first: if a worker has joined it, Kafka refuses, and nothing is deleted.
        if plan.group:
            await admin.delete_group(plan.group)
        if plan.topics:
            await admin.delete_topics(plan.topics)
    await forget(settings)
