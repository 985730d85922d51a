"""`python -m faults SCENARIO… [--seed N] [--seconds S]`, in tests/: proofs under fire; ends with 1 where one broke."""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from faults import attacks, bad_swaps, control_storm, fuzz, fuzz_records, million
from faults.arena import run
from faults.scenarios import RED, SCENARIOS
from harness.fleet import ROOT, Deployment
from hotswap.local.kafka import LocalKafka

COMMANDS = {
    "commands": (control_storm.run, 10_000),
    "bad-swaps": (bad_swaps.run, 200),
    "fuzz": (fuzz.run, 100_000),
    "million": (million.run, 1_000_000),
}
RECORDS, ATTACKS = "fuzz-records", "attacks"


def main() -> int:
    """Run the scenarios that are asked for, one after the other."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # that the broker is gone is no news here
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="+", choices=[*SCENARIOS, *COMMANDS, RECORDS, ATTACKS, *RED])
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--seconds", type=float, help="how long, or how many, instead of the scenario's own measure")
    parser.add_argument("--keep", type=Path, help="folder for the workers' logs and the journal")
    parser.add_argument("--worker", type=Path, default=ROOT, help="of the attacks: the checkout that is attacked")
    asked = parser.parse_args()
    is_good = True
    for name in asked.scenario:
        is_good &= _one(name, asked)
    return 0 if is_good else 1


def _one(name: str, asked: argparse.Namespace) -> bool:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hotswap-faults-") as temporary:
        folder = (asked.keep / name if asked.keep else Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        findings = asyncio.run(_play(name, asked, folder))
    is_good = bool(findings) if name in RED else not findings
    _say(f"{name}: {'holds' if is_good else 'BROKEN'}, seed {asked.seed}, {time.monotonic() - began:.0f} s in all")
    return is_good


async def _play(name: str, asked: argparse.Namespace, folder: Path) -> list[str]:
    if name == ATTACKS:
        return await attacks.run(folder, code=asked.worker, say=_say)
    if name in COMMANDS:
        return await _command(name, asked, folder)
    return await (_records if name == RECORDS else _fight)(name, asked, folder)


async def _records(name: str, asked: argparse.Namespace, folder: Path) -> list[str]:
    """A scenario in which what is fetched is bad."""
    figures = await fuzz_records.run(folder, seed=asked.seed, count=int(asked.seconds or 100_000), say=_say)
    return _tell(name, figures)


async def _fight(name: str, asked: argparse.Namespace, folder: Path) -> list[str]:
    """A scenario in which the fleet is under fire."""
    scenario = SCENARIOS.get(name) or RED[name]
    seconds = scenario.seconds if asked.seconds is None else asked.seconds
    return (await run(scenario, seed=asked.seed, seconds=seconds, folder=folder, say=_say)).findings


async def _command(name: str, asked: argparse.Namespace, folder: Path) -> list[str]:
    """A scenario in which only what is commanded is bad."""
    play, count = COMMANDS[name]
    with LocalKafka() as kafka:
        deployment = Deployment(kafka, folder)
        try:
            await deployment.create()
            figures = await play(deployment, seed=asked.seed, count=int(asked.seconds or count), say=_say)
        finally:
            deployment.close()
    return _tell(name, figures)


def _tell(name: str, figures: Any) -> list[str]:
    _say("\n".join(f"{name}: {value}" for name, value in vars(figures).items()))
    return figures.findings


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
