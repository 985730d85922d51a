"""The plan of `hotswap delete`, decided without I/O: the topics to delete, and those to keep."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hotswap.settings import Topics


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A snapshot of a deployment in Kafka."""

    deployment: str
    topics: Topics
    defaults: Topics
    """The default names of its topics."""
    group: str
    existing: frozenset[str]
    """The topics of the deployment that exist."""
    groups: frozenset[str]
    """The groups of the cluster that this user may see."""
    workers: tuple[str, ...]
    """The workers that are live by their reports."""
    members: tuple[str, ...]
    """The client ids of the members of its group."""
    readers: tuple[str, ...]
    """The groups with offsets on its requests, including its own."""
    is_shadow: bool = False
    """Whether it answers another deployment's requests: then its answers and its commands are of no further use."""
    unseen: str = ""
    """Why some groups with offsets there may be invisible; empty if none can be."""


class Stays(NamedTuple):
    """Something to keep, and the reason."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """The group and topics to delete, unless refused; the deployment is forgotten afterwards."""

    refusal: str
    """Why nothing is deleted; empty if it is."""
    group: str
    """The group, with its offsets; empty if there is none."""
    topics: tuple[str, ...]
    stays: tuple[Stays, ...]


def plan_of(facts: Facts) -> DeletionPlan:
    """Return the plan.

    Topics of requests and answers are deleted only under the deployment's default names, and if no other group has
    offsets on the requests: a shadow answers the same requests, and a deployment that was moved keeps the old one's
    topics. Those of a shadow are deleted all the same, and its control topic, too, so that it can begin anew. The group
    is always deleted, since no other deployment commits to it.
    """
    topics = facts.topics
    others = [group for group in facts.readers if group != facts.group]
    shared = facts.unseen
    if facts.is_shadow:
        shared = ""
    elif others:
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
    deletes_log = facts.is_shadow and topics.control == facts.defaults.control and topics.control in facts.existing
    deleted += [topics.control] * deletes_log
    group = facts.group if facts.group in facts.groups else ""
    return DeletionPlan(_refusal(facts), group, tuple(deleted), (*stays, *_always(facts, deletes_log=deletes_log)))


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


def _always(facts: Facts, *, deletes_log: bool) -> Iterator[Stays]:
    topics = facts.topics
    if topics.control in facts.existing and not deletes_log:
        yield Stays(f"topic {topics.control}", "it knows which commands and numbers were used, and who gave them")
    if topics.status in facts.existing:
        yield Stays(f"topic {topics.status}", "other deployments may report to it, too")
    yield Stays("artifacts in stores", "a store does not know which other deployments name them")
