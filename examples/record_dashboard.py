"""Records docs/dashboard.svg: the dashboard of ops/, with what a real Prometheus saw of a demo of three minutes.

    make pictures        (or: python examples/record_dashboard.py)

Needs prometheus on PATH. Every panel's own expressions are asked of it, as Grafana does.
"""

import argparse
import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dashboard_picture import Line, Recording, picture
from demo import PARTITIONS, play, scenes
from demo_count import Moment
from demo_domains import load_domain
from demo_fleet import Workers, kafka, settings_for
from demo_picture import STYLE
from demo_screen import Screen
from matplotlib import style

from hotswap import logs
from hotswap.kafka.topics.admin import Admin
from hotswap.local.kafka import free_ports
from hotswap.local.lifeline import start_watchdog

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "dashboard.svg"
DASHBOARD = ROOT / "ops" / "grafana" / "dashboards" / "hotswap.json"
SCRAPE_S = 5
_READY_S = 30.0


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def await_ready(self) -> None:
        """Waits until it answers; raises TimeoutError."""
        ends = time.monotonic() + _READY_S
        while time.monotonic() < ends:
            with suppress(OSError), urllib.request.urlopen(f"{self._url}/-/ready"):  # noqa: S310 - http, as above
                return
            time.sleep(0.1)
        raise TimeoutError("Prometheus did not start")

    def ask(self, expression: str, legend: str, begin: float, end: float) -> list[Line]:
        """Returns the lines of an expression, with a point for each scrape from `begin` to `end`."""
        asked = urlencode({"query": expression, "start": begin, "end": end, "step": SCRAPE_S})
        with urllib.request.urlopen(f"{self._url}/api/v1/query_range?{asked}") as answer:  # noqa: S310 - http, as above
            found = json.load(answer)["data"]["result"]
        return [
            Line(
                re.sub(r"{{(\w+)}}", lambda name, labels=one["metric"]: labels.get(name[1], ""), legend).strip(),
                tuple(at - begin for at, _ in one["values"]),
                tuple(float(value) for _, value in one["values"]),
            )
            for one in found
        ]


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, int]) -> Iterator[Prometheus]:
    """Runs a Prometheus that scrapes these workers (name -> port), as ops/prometheus.yml does."""
    port, watchdog = next(free_ports()), start_watchdog()
    configuration = {
        "global": {"scrape_interval": f"{SCRAPE_S}s"},
        "scrape_configs": [
            {
                "job_name": "hotswap",
                "static_configs": [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name}} for name, port in targets.items()
                ],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address=127.0.0.1:{port}"],  # noqa: S607 - the one on PATH
            stdout=log,
            stderr=log,
            process_group=watchdog.pid,
        )
    try:
        running = Prometheus(port)
        running.await_ready()
        yield running
    finally:
        process.kill()
        process.wait()
        watchdog.communicate()


async def run_demo(bootstrap: str, folder: Path, ports: Sequence[int], options: argparse.Namespace) -> list[Moment]:
    """Plays the demo's story, and leaves the workers to be scraped until it is over."""
    garbage = folder / "better.zip"
    garbage.write_bytes(b"This is no model.")
    settings = settings_for(bootstrap, folder, "demo")
    async with Admin.connect(settings) as admin:
        await admin.create_topics(PARTITIONS)
    with Workers(settings, folder, ports) as workers, Screen() as screen:
        story = scenes(load_domain("iris"), load_domain("cancer"), garbage)
        return await play(story, settings, workers, screen, options)


def record(dashboard: dict[str, Any], source: Prometheus, begin: float, end: float) -> Recording:
    """Asks for all panels, and for when a new generation scores."""

    def ask(target: dict[str, Any], legend: str) -> list[Line]:
        return source.ask(target["expr"].replace("$deployment", ".*"), legend, begin, end)

    panels = {
        panel["id"]: [line for target in panel["targets"] for line in ask(target, target["legendFormat"])]
        for panel in dashboard["panels"]
    }
    (swaps,) = (one for one in dashboard["annotations"]["list"] if one["name"] == "Swaps")
    marks = sorted({at for line in ask(swaps, "") for at in line.seconds})
    firsts = [at for at, before in zip(marks, [-SCRAPE_S * 2, *marks], strict=False) if at - before > SCRAPE_S]
    return Recording(panels, firsts, end - begin, SCRAPE_S)


def main() -> None:
    """Runs the demo under a Prometheus, and draws the dashboard."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=300, help="requests per second (default 300)")
    parser.add_argument("--seconds", type=float, default=30, help="of steady stream after each command (default 30)")
    options = parser.parse_args()
    if not shutil.which("prometheus"):
        sys.exit("record_dashboard: put prometheus (2.40 or newer) on PATH")
    logs.set_up(level="CRITICAL", style="text")
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="hotswap-demo-") as name, kafka() as bootstrap:
        folder, free = Path(name), free_ports()
        ports = [next(free), next(free)]
        targets = {f"worker-{number}": port for number, port in enumerate(ports, 1)}
        with prometheus(folder, targets) as source:
            moments = asyncio.run(run_demo(bootstrap, folder, ports, options))
            recording = record(dashboard, source, moments[0].sent_at, time.time())
    with style.context(STYLE):
        picture(dashboard, recording).savefig(PICTURE, metadata={"Date": None})


if __name__ == "__main__":
    main()
