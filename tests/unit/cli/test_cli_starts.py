"""A command starts quickly: `--help` and completion import what they show, and no command what it may never need.

Modules are counted, for they are the same on every machine: each costs about 0.4 ms of CPU. benchmarks/starts.py has
the CPU.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hotswap.cli.main import _COMMANDS

EXAMPLES = Path(__file__).parents[3] / "examples"
NOWHERE = ["d", "--kafka", "127.0.0.1:1"]
MODEL = ["--model", f"{EXAMPLES}/models/iris_gbm.zip", "--proto", f"{EXAMPLES}/protos/iris.proto"]
MOST = 250
MOST_BEFORE_KAFKA = 546
HELP = {name: [name, "--help"] for name in [*_COMMANDS, "", "keys new", "topics create"]}
TO_KAFKA = {"status, to Kafka": ["status", *NOWHERE], "swap, to Kafka": ["swap", *NOWHERE, *MODEL]}
COMPLETIONS = {"a command": "hotswap s", "an option": "hotswap swap --"}

# Each is a child of a process that has imported the interpreter's own modules and what every command does, and no more.
PLAYED = """
import json, os, sys
from hotswap.cli.late import Deferred, defer
defer()
import hotswap.cli.main
from hotswap.__main__ import main
plan = json.loads(sys.argv[1])
for title, (words, variables) in plan.items():
    sys.stdout.flush()
    if not (child := os.fork()):
        told, null = os.dup(1), os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        seen = set()
        def tell(event="socket.connect", given=()):
            if event == "open" and str(given[0]).endswith("entry_points.txt"):
                seen.add("entry_points.txt")
            if event == "socket.connect":
                os.write(told, json.dumps([title, sorted(seen | set(sys.modules))]).encode() + b"\\n")
                os._exit(0)
        os.environ |= variables
        sys.argv = ["hotswap", *words]
        sys.addaudithook(tell)
        try:
            main()
        except SystemExit:
            pass
        tell()
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def modules():
    """What each start has imported when it ends, or connects to Kafka; beside it, the entry points if it read them."""
    plan = {title: (" ".join(words).split(), {}) for title, words in HELP.items()}
    for title, typed in COMPLETIONS.items():
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" ")), "_HOTSWAP_COMPLETE": "bash_complete"}
        plan[title] = [], words
    plan |= {title: (words, {}) for title, words in TO_KAFKA.items()}
    done = subprocess.run(
        [sys.executable, "-c", PLAYED, json.dumps(plan)], capture_output=True, text=True, check=True, timeout=120
    )
    return dict(map(json.loads, done.stdout.splitlines()))


@pytest.mark.parametrize("title", [*HELP, *COMPLETIONS])
def test_help_and_completion_import_little(modules, title):
    assert len(modules[title]) <= MOST
    assert {"asyncio", "aiokafka", "numpy", "pydantic", "rich", "google.protobuf", "fsspec"}.isdisjoint(modules[title])


@pytest.mark.parametrize("title", TO_KAFKA)
def test_nothing_that_may_never_be_needed_is_imported_before_kafka_is_asked(modules, title):
    assert "aiokafka" in modules[title]
    assert len(modules[title]) <= MOST_BEFORE_KAFKA
    late = {"fsspec", "numpy", "prometheus_client", "pythonjsonlogger", "rich", "tomllib", "urllib.request"}
    late |= {"hotswap.codec.text", "hotswap.packages", "hotswap.trust.model_signature"}
    late |= {"entry_points.txt"}  # of every installed package, where pydantic looks for plugins
    assert late.isdisjoint(modules[title])


CAPTURED = """
import gc, importlib, sys
from hotswap.cli.late import Deferred, defer, late, later
defer()
from hotswap.cli.main import _COMMANDS
for module, _ in _COMMANDS.values():
    importlib.import_module(f"hotswap.cli.{module}")
late.load(), later.load()
print([(each.module, each.name) for each in gc.get_objects() if type(each) is Deferred])
"""


def test_no_module_keeps_what_stands_for_a_late_import():
    done = subprocess.run([sys.executable, "-c", CAPTURED], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", "a default value, a constant or a base class at module level: import it at once"
