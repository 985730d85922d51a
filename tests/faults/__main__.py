"""`python -m faults SCENARIO… [--seed N] [--seconds S]`, in tests/: proofs under fire; exits with 1 if one failed.

With RECORD=1 each run is recorded in build/proofs.md, which needs a clean git tree. With TRANSACTIONS=1 every cluster
begins with the feature transaction.version at 1.
"""

import argparse
import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from faults import (
    alerts,
    attacks,
    bad_swaps,
    both_ways,
    compared,
    control_storm,
    every_model,
    every_python_model,
    fuzz,
    fuzz_protos,
    fuzz_records,
    gateways,
    million,
    objects,
    renewals,
    rights,
    topics,
    upgrade,
    versions,
)
from faults.arena import run
from faults.scenarios import RED, SCENARIOS
from harness.fleet import ROOT, Deployment
from harness.proofs import is_recording, recorded
from hotswap.local.kafka import LocalKafka

TRANSACTIONS = "TRANSACTIONS"
"""The variable that names the clusters' transaction.version (KIP-890); unset: the newest that Kafka has."""
COMMANDS = {
    "commands": (control_storm.run, 10_000),
    "bad-swaps": (bad_swaps.run, 200),
    "fuzz": (fuzz.run, 100_000),
    "million": (million.run, 1_000_000),
    "compared": (compared.run, 1_000_000),
    "gateways": (gateways.run, 60),
}
ON_THEIR_OWN = {
    "fuzz-records": (fuzz_records.run, 100_000),
    "fuzz-protos": (fuzz_protos.run, 10_000),
    "both-ways": (both_ways.run, 100_000),
}
"""Proofs with a Kafka of their own."""
ATTACKS, TOPICS, ALERTS, RIGHTS, RENEWALS, S3 = "attacks", "topics", "alerts", "rights", "renewals", "s3"
VERSIONS, UPGRADE = "versions", "upgrade"
EVERY_MODEL, EVERY_PYTHON_MODEL = "every-model", "every-python-model"
TABLES: dict[str, tuple[Any, Callable[[argparse.Namespace], dict[str, Any]]]] = {
    ATTACKS: (attacks, lambda asked: {"code": asked.worker}),
    TOPICS: (topics, lambda asked: {"seed": asked.seed}),
    RIGHTS: (rights, lambda _: {}),
    VERSIONS: (versions, lambda asked: {"seed": asked.seed}),
    EVERY_MODEL: (every_model, lambda asked: {"seed": asked.seed}),
    EVERY_PYTHON_MODEL: (every_python_model, lambda _: {}),
}
"""Proofs that tell a row for each thing that is tried, and what their `run` is given."""
LONG: dict[str, Callable[[Path, argparse.Namespace, float], Awaitable[tuple[list[str], Mapping[str, Any]]]]] = {
    ALERTS: lambda folder, _, __: alerts.run(folder, say=_say),
    RENEWALS: lambda folder, _, seconds: renewals.run(folder, seconds=seconds, say=_say),
    S3: lambda folder, asked, seconds: objects.run(folder, seed=asked.seed, seconds=seconds, say=_say),
    UPGRADE: lambda folder, asked, seconds: upgrade.run(
        folder, old=asked.old, seed=asked.seed, seconds=seconds, say=_say
    ),
}
"""Proofs that tell what they found and their figures."""
FULL_LENGTHS = {
    **{name: scenario.seconds for name, scenario in (SCENARIOS | RED).items()},
    **{name: count for name, (_, count) in (COMMANDS | ON_THEIR_OWN).items()},
    ATTACKS: len(attacks.ATTACKS),
    TOPICS: topics.COUNT,
    ALERTS: len(alerts.FAULTS),
    RIGHTS: rights.COUNT,
    RENEWALS: renewals.SECONDS,
    S3: objects.SECONDS,
    VERSIONS: len(versions.VERSIONS),
    EVERY_MODEL: every_model.COUNT,
    EVERY_PYTHON_MODEL: every_python_model.COUNT,
    UPGRADE: upgrade.SECONDS,
}


class Outcome(NamedTuple):
    """The results of a run; without findings, every promise was kept."""

    findings: list[str]
    figures: dict[str, Any]


def main() -> int:
    """Run the requested scenarios, one after the other."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # broker faults are expected here
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="+", choices=[*FULL_LENGTHS])
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, help="how long, or how many, instead of the scenario's own measure")
    parser.add_argument("--partitions", type=int, help="of the requests topic, instead of the scenario's own number")
    parser.add_argument("--keep", type=Path, help="folder for the workers' logs and the journal")
    parser.add_argument("--old", help="of the upgrade: the commit of another version, or a checkout's folder")
    parser.add_argument("--worker", type=Path, default=ROOT, help="of the attacks: the checkout that is attacked")
    asked = parser.parse_args()
    if is_recording() and asked.worker != ROOT:
        parser.error("RECORD=1 records runs of this checkout's workers, and --worker names another one's")
    if version := os.environ.get(TRANSACTIONS):
        LocalKafka.features = {"transaction.version": int(version)}
    is_good = True
    for name in asked.scenario:
        is_good &= _one(name, asked)
    return 0 if is_good else 1


def _one(name: str, asked: argparse.Namespace) -> bool:
    began = time.monotonic()
    full_length = FULL_LENGTHS[name]
    length = full_length if asked.seconds is None or name in TABLES or name == ALERTS else asked.seconds
    with (
        tempfile.TemporaryDirectory(prefix="hotswap-faults-") as temporary,
        recorded(_told_name(name), seed=asked.seed, length=length, full_length=full_length) as run_of_it,
    ):
        folder = (asked.keep / name if asked.keep else Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        outcome = asyncio.run(_play(name, asked, length, folder))
        run_of_it.figures, run_of_it.findings = outcome.figures, len(outcome.findings)
    is_good = bool(outcome.findings) if name in RED else not outcome.findings
    _say(f"{name}: {'holds' if is_good else 'BROKEN'}, seed {asked.seed}, {time.monotonic() - began:.0f} s in all")
    return is_good


def _told_name(name: str) -> str:
    """Return what to type after `make` for the same proof."""
    told = [name]
    if version := os.environ.get(TRANSACTIONS):
        told.append(f"{TRANSACTIONS}={version}")
    if name == EVERY_PYTHON_MODEL and every_python_model.WITH_TORCH:
        told.append("TORCH=1")
    return " ".join(told)


async def _play(name: str, asked: argparse.Namespace, length: float, folder: Path) -> Outcome:
    if name in TABLES:
        table, more = TABLES[name]
        rows = await table.run(folder, **more(asked), say=_say)
        return Outcome([str(row) for row in rows if not row.holds], table.figures(rows))
    if name in LONG:
        return Outcome(*await LONG[name](folder, asked, length))
    if name in COMMANDS:
        return _told(name, await _command(name, asked.seed, int(length), folder))
    if name in ON_THEIR_OWN:
        play, _ = ON_THEIR_OWN[name]
        return _told(name, await play(folder, seed=asked.seed, count=int(length), say=_say))
    scenario = (SCENARIOS | RED)[name]
    if asked.partitions:
        scenario = replace(scenario, terms=replace(scenario.terms, partitions=asked.partitions))
    arena = await run(scenario, seed=asked.seed, seconds=length, folder=folder, say=_say)
    return Outcome(arena.findings, arena.figures)


async def _command(name: str, seed: int, count: int, folder: Path) -> Any:
    """Run a proof in which only the commands are bad; return its figures."""
    play, _ = COMMANDS[name]
    with LocalKafka() as kafka:
        deployment = Deployment(kafka, folder)
        try:
            await deployment.create()
            return await play(deployment, seed=seed, count=count, say=_say)
        finally:
            deployment.close()


def _told(name: str, figures: Any) -> Outcome:
    told = vars(figures)
    _say("\n".join(f"{name}: {value}" for name, value in told.items()))
    return Outcome(figures.findings, {name: value for name, value in told.items() if name not in ("seed", "findings")})


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
