"""`hotswap acls`: the least rights of each role in a deployment, for an administrator to grant."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import click

from hotswap.cli.exits import note
from hotswap.cli.late import late
from hotswap.cli.shared import deployment_argument, make_settings, run, show
from hotswap.errors import Doubt, StartError, UsageError
from hotswap.kafka.client.roles import KafkaRole

with late:
    from hotswap.kafka.client.acls import Right, rights_of
    from hotswap.kafka.topics.control_topic import settled
    from hotswap.settings import Settings

_STRIMZI_KINDS = {"topic": "topic", "group": "group", "transactional_id": "transactionalId"}
_USER = "User:"


@click.command()
@deployment_argument
@click.option("--principal", required=True, metavar="USER", help="The grantee, as User:worker.")
@click.option(
    "--role",
    "roles",
    type=click.Choice([role.value for role in KafkaRole]),
    multiple=True,
    help="The role; may be repeated. [default: each but shadow, under its name]",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["kafka-acls", "strimzi"]),
    default="kafka-acls",
    show_default=True,
    help="Commands for Kafka's kafka-acls.sh, or a KafkaUser for Strimzi.",
)
def acls(deployment: str, principal: str, roles: tuple[str, ...], style: str) -> None:
    """Print the least rights of each role in a deployment, as commands for kafka-acls or for Strimzi.

    A worker scores; a publisher writes requests; a reader reads predictions and dead letters; control swaps, rolls
    back, pauses, and reads the status; shadow begins and runs DEPLOYMENT.shadow. The rights depend on the settings:
    the names of topics and group, and HOTSWAP_DELIVERY. The control topic is read from Kafka, unless
    HOTSWAP_CONTROL_TOPIC names it.
    """
    if not principal.startswith(_USER) or principal == _USER:
        raise UsageError(f"{principal!r} is not a Kafka principal: did you mean {_USER}{principal}?")
    settings = make_settings(deployment=deployment)
    try:
        settings = settings if settings.control_topic else run(settled(settings))
    except (StartError, Doubt) as unknown:
        note(f"hotswap: assuming the control topic {settings.topics.control}, since Kafka could not be read: {unknown}")
    named = [KafkaRole(role) for role in roles] or [role for role in KafkaRole if role is not KafkaRole.SHADOW]
    chosen = {role: rights_of(role, settings) for role in named}
    if style == "strimzi":
        show(_user(principal.removeprefix(_USER), chosen))
        return
    for role, rights in chosen.items():
        show(f"# {role}")
        for right in rights:
            show(_command(settings, principal, right))


def _command(settings: Settings, principal: str, right: Right) -> str:
    kind = f"--{right.kind.replace('_', '-')}"
    words = ["kafka-acls.sh", "--bootstrap-server", settings.kafka, "--add", "--allow-principal", principal]
    words += ["--operation", right.operation, kind, right.name]
    return shlex.join(words + ["--resource-pattern-type", "prefixed"] * right.is_prefix)


def _user(name: str, chosen: Mapping[KafkaRole, Sequence[Right]]) -> str:
    """Return a KafkaUser with the rights of all roles, in JSON's subset of YAML."""
    rights = dict.fromkeys(right for granted in chosen.values() for right in granted)
    operations: dict[tuple[str, str, bool], list[str]] = {}
    for right in rights:
        operations.setdefault((right.kind, right.name, right.is_prefix), []).append(right.operation)
    granted: list[dict[str, Any]] = [
        {
            "resource": {
                "type": _STRIMZI_KINDS[kind],
                "name": resource,
                "patternType": "prefix" if is_prefix else "literal",
            },
            "operations": allowed,
        }
        for (kind, resource, is_prefix), allowed in operations.items()
    ]
    lines = "\n".join(f"      - {json.dumps(one)}" for one in granted)
    return f"""apiVersion: kafka.strimzi.io/v1
kind: KafkaUser
metadata:
  name: {json.dumps(name)}
spec:
  # Add the authentication of your users, and metadata.labels["strimzi.io/cluster"].
  authorization:
    type: simple
    acls:
{lines}"""
