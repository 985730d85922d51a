"""What strangers can send, each played beside a steady stream: the outcome, and the effect on the stream.

`make attacks` prints the table; `make attacks WORKER=/path/to/checkout` the one for another commit's workers.
"""

import asyncio
import time
from dataclasses import dataclass
from statistics import median

from faults import attacks_by_answers as answers
from faults import attacks_by_files as by_files
from faults import attacks_by_http as by_http
from faults import attacks_by_jars as jars
from faults import attacks_by_keys as keys
from faults import attacks_by_pickles as pickles
from faults import attacks_by_python as python
from faults import attacks_by_records as records
from faults import attacks_by_reports as reports
from faults import attacks_by_strangers_files as files
from faults import attacks_by_swaps as swaps
from faults import attacks_by_uris as by_uris
from faults import attacks_on_processes as processes
from faults import attacks_over_http as http
from faults.stage import WORKERS, Stage
from harness.fleet import ROOT
from hotswap.local.kafka import LocalKafka

_QUIET_S = 8.0
_LEAST_S = 8.0
_TIMES = 3.0


@dataclass(frozen=True)
class Row:
    """A row of the table; `usual_ms` is the p99 without an attack, the median of this stage's and the earlier ones'.

    A single stage's is that of some seconds: from 68 to 228 ms within a run.
    """

    attack: str
    seen: str
    is_held: bool
    unanswered: int
    twice: int
    quiet_ms: float
    during_ms: float
    usual_ms: float

    @property
    def holds(self):
        return self.is_held and not self.unanswered and not self.twice and self.during_ms <= _TIMES * self.usual_ms

    def __str__(self):
        p99 = f"{self.quiet_ms:.0f} → {self.during_ms:.0f}"
        verdict = "holds" if self.holds else "BROKEN"
        return f"| {self.attack} | {self.seen} | {self.unanswered} | {self.twice} | {p99} | {verdict} |"


ATTACKS = (
    records.header_name,
    records.repeated_header,
    records.header_name_on_control,
    records.inflates,
    records.inflates_to_a_gigabyte,
    by_uris.uris,
    swaps.store_fifo,
    swaps.store_silent,
    swaps.long_ready,
    swaps.many_inodes,
    swaps.nested_jars,
    swaps.names_outside,
    swaps.tampered_cache,
    swaps.long_deadline,
    files.models_of_others,
    by_files.onnx_outside,
    by_files.onnx_code,
    by_files.onnx_bombs,
    by_files.onnx_memory,
    by_files.onnx_time,
    by_files.onnx_endless_request,
    by_files.onnx_huge_request,
    by_files.xgboost_files,
    by_files.lightgbm_files,
    pickles.joblib_that_connects,
    python.python_processes,
    python.python_files_and_network,
    python.python_resources,
    python.python_itself,
    python.python_answers,
    python.python_loads,
    processes.connections,
    processes.last_number,
    processes.long_status,
    processes.terminal,
    processes.early_term,
    processes.left_behind,
    answers.forged_ahead,
    answers.forged_behind,
    answers.forged_numbers,
    answers.foreign_transaction,
    answers.forged_answers,
    keys.commands_without_the_right_key,
    http.answers_of_others,
    http.hosts_of_others,
    reports.swap_without_a_worker,
    reports.reports_in_random_mixes,
    jars.files,
    jars.processes,
    jars.network,
    jars.disk,
    by_http.one_header,
    by_http.many_headers,
    by_http.extensions,
    by_http.half_requests,
    by_http.slow_bodies,
    by_http.bodies_left,
    by_http.bodies_read,
    by_http.tables,
)
HEAD = "| attack | seen | unanswered | twice | p99 without → with, ms | verdict |\n|---|---|---|---|---|---|"


async def run(folder, *, code=ROOT, only=(), say=print):
    """Play the attacks on workers of a checkout; return the rows of the table."""
    rows = []
    with LocalKafka() as kafka:
        say(f"attacks on the workers of {code}\n{HEAD}")
        for attack in ATTACKS:
            if only and attack.__name__ not in only:
                continue
            (place := folder / attack.__name__).mkdir()
            rows.append(await _play(kafka, place, code, attack, [row.quiet_ms for row in rows]))
            say(str(rows[-1]))
    return rows


def figures(rows):
    """Summarize the table."""
    return {
        "attacks": len(rows),
        "unanswered": sum(row.unanswered for row in rows),
        "twice": sum(row.twice for row in rows),
        "highest p99 with an attack, times that without": round(max(row.during_ms / row.usual_ms for row in rows), 1),
    }


async def _play(kafka, folder, code, attack, earlier_ms):
    name = attack.__doc__.rstrip(".")
    made = attack.make(folder) if hasattr(attack, "make") else None
    async with Stage(kafka, folder, code, made) as stage:
        await asyncio.sleep(_QUIET_S / 4)
        quiet = time.time()
        # The attacks include good swaps, to check that those still work: so does the time without an attack.
        assert await stage.is_good()
        await asyncio.sleep(max(0.0, quiet + _QUIET_S - time.time()))
        began = time.time()
        try:
            seen, is_held = await attack(stage)
        except Exception as error:  # noqa: BLE001 - what an attack does to the harness is a line of the table too
            seen, is_held = f"{type(error).__name__}: {error}"[:200], False
        await asyncio.sleep(max(0.0, began + _LEAST_S - time.time()))
        ended = stage.over or time.time()
        unanswered, twice = await stage.settle()
        if len(stage.alive) < len(WORKERS):
            seen, is_held = f"{seen}; {len(stage.alive)} of {len(WORKERS)} workers left", False
        quiet_ms, during_ms = stage.p99_ms(quiet, began), stage.p99_ms(began, ended)
        usual_ms = median([*earlier_ms, quiet_ms])
        return Row(name, seen, is_held, unanswered, twice, quiet_ms, during_ms, usual_ms)
