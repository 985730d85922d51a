"""`hotswap doctor`: a line for each dependency of a deployment, with advice on each problem."""

from __future__ import annotations

from typing import Any

import click

from hotswap.cli.exits import UNREACHABLE, exit_with
from hotswap.cli.late import late
from hotswap.cli.shared import (
    deployment_argument,
    json_option,
    kafka_option,
    make_settings,
    out,
    print_json,
    run,
    styled,
)

with late:
    from hotswap.client.doctor import KAFKA, examine
    from hotswap.client.findings import Finding, Level, worst

_STYLES = {"ok": "green", "advice": "cyan", "warning": "yellow", "fault": "bold red"}


@click.command()
@deployment_argument
@kafka_option
@json_option
def doctor(deployment: str, kafka: str | None, is_json: bool) -> None:  # noqa: FBT001 - click's
    """Examine a deployment: Kafka, its topics and their settings, its workers; changes nothing.

    Prints a line for each, with advice on each problem. Exits with 1 if there is a fault, and with 3 if Kafka or a
    topic cannot be reached.
    """
    settings = make_settings(deployment=deployment, kafka=kafka)

    async def collect() -> list[Finding]:
        return [finding async for finding in examine(settings)]

    findings = run(collect())
    if is_json:
        print_json([_document(finding) for finding in findings])
    for finding in () if is_json else findings:
        line = f"{finding.level:<8} {finding.about}: {finding.what}"
        out().print(styled(line + (f" -> {finding.advice}" if finding.advice else ""), _STYLES[finding.level]))
    if any(finding.level is Level.FAULT and finding.about == KAFKA for finding in findings):
        raise click.exceptions.Exit(UNREACHABLE)
    exit_with(worst(findings))


def _document(finding: Finding) -> dict[str, Any]:
    return {"level": finding.level, "about": finding.about, "what": finding.what, "advice": finding.advice}
