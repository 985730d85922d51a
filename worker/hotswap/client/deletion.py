"""Decides, without I/O, what `hotswap delete` deletes of a deployment, and what stays."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hotswap.settings import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A deployment as it is in Kafka, read at one time."""

    deployment: str
    topics: Topics
    defaults: Topics
    """What its topics are called by default."""
    group: str
    existing: frozenset[str]
    """The topics of the deployment that exist."""
    groups: frozenset[str]
    """The groups of the cluster, as far as this user may see them."""
    workers: tuple[str, ...]
    """The workers that are live by their reports."""
    members: tuple[str, ...]
    """The client ids of the members of its group."""
    readers: tuple[str, ...]
    """The groups with offsets on its requests, its own among them."""
    unseen: str = ""
    """Why other groups may have offsets there that cannot be seen; empty: all groups were."""


class Stays(NamedTuple):
    """Something that is not deleted, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What is deleted, if nothing refuses it; the deployment is forgotten afterwards."""

    refusal: str
    """Why nothing is deleted; empty: it may be."""
    group: str
    """The group, with its offsets; empty: there is none."""
    topics: tuple[str, ...]
    stays: tuple[Stays, ...]


def plan_of(facts: Facts) -> DeletionPlan:
    """Return what to delete.

    Topics of requests and answers go only under the deployment's default names, and if no other group has offsets on
    the requests: a shadow answers the same requests, and a deployment that was moved goes on with the old one's topics.
    The group goes in any case, since no one else commits to it.
    """
    topics = facts.topics
    others = [group for group in facts.readers if group != facts.group]
    shared = facts.unseen
    if others:
        shared = f"group{'s' * (len(others) > 1)} {', '.join(others)} read{'s' * (len(others) == 1)} {topics.requests}"
    deleted: list[str] = []
    stays: list[Stays] = []
    for topic, default in zip(topics[:3], facts.defaults[:3], strict=True):
        if topic not in facts.existing:
            continue
        why = f"its name is not the default, {default}: others may use it" if topic != default else shared
        if why:
            stays.append(Stays(f"topic {topic}", why))
        else:
            deleted.append(topic)
    group = facts.group if facts.group in facts.groups else ""
    return DeletionPlan(_refusal(facts), group, tuple(deleted), (*stays, *_always(facts)))


def _refusal(facts: Facts) -> str:
    if not facts.deployment:
        return "name the deployment to delete"
    if facts.workers:
        return f"workers of {facts.deployment} live ({', '.join(facts.workers)}): stop them first"
    if facts.members:
        return (
            f"group {facts.group} has members ({', '.join(facts.members)}): stop them first (a killed one stays a "
            "member until its session ends)"
        )
    return ""


def _always(facts: Facts) -> Iterator[Stays]:
    topics = facts.topics
    if topics.control in facts.existing:
        yield Stays(f"topic {topics.control}", "it knows which commands and numbers were used, and who gave them")
    if topics.status in facts.existing:
        yield Stays(f"topic {topics.status}", "other deployments may report to it, too")
    yield Stays("artifacts in stores", "a store does not know which other deployments name them")
