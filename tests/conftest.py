"""What all tests share: a real Kafka for those that ask for one, and the proof that nothing is left behind."""

import gc
import importlib.util
import logging
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - its plugin would load it after the last test, at which Python 3.11.7 fails (gh-106905)
import pytest

from fakes.examples import COLD
from harness.fleet import Deployment, Kafka
from harness.forked import start_server
from harness.kafkas import PREPARED, local_kafka, prepare
from hotswap.host.parent import ModelHost
from hotswap.local.kafka import LocalKafka


@dataclass(frozen=True)
class GivenKafka:
    """A Kafka that the tests use and do not own."""

    bootstrap: str


_DEFAULTS: dict[str, Any] = vars(ModelHost)["__init__"].__kwdefaults__
_IS_REAL = os.environ.get("HOTSWAP_TEST_REAL") == "1"
"""Whether workers are started by the command, and hosts have the product's own options (`make test-real`)."""
_LEFT_OUT = pytest.StashKey[int]()
_TESTS = Path(__file__).parent
_NEEDS = {
    "lightgbm": "lightgbm",
    "onnx": "onnxruntime",
    "sklearn": "skl2onnx",
    "spark": "pyspark",
    "s3": "s3fs",
    "xgboost": "xgboost",
}
"""The package that the tests with a marker need."""
_LONGEST_FIRST = ("faults", "system", "model", "contract", "unit")


def pytest_configure(config: pytest.Config) -> None:
    """Have a session of its own where tests run side by side: by it each tells its orphans from the other's."""
    if hasattr(config, "workerinput"):
        os.setsid()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of what is not installed; of the rest the longest come first, for some run side by side."""
    items.sort(key=_place)
    lacking = [marker for marker, package in _NEEDS.items() if not importlib.util.find_spec(package)]
    left = [item for item in items if any(map(item.get_closest_marker, lacking))]
    config.stash[_LEFT_OUT] = len(left)
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def _place(item: pytest.Item) -> int:
    """What takes minutes, then what takes seconds, then what takes none: at the end every process has work."""
    folder = item.path.relative_to(_TESTS).parts[0]
    return 0 if item.get_closest_marker("spark") else 1 + _LONGEST_FIRST.index(folder)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell who prints the summary, where that is another process, how many tests were left out here."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process that ran tests beside others has told: each of them collects all tests."""
    if told := getattr(node, "workeroutput", None):
        node.config.stash[_LEFT_OUT] = told["left_out"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in a line what was left out."""
    if left := config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"Left out: {left} tests of extras (Spark, S3, …) that are not installed here (make test-all has them)"
        )


@pytest.fixture(scope="session")
def workers_are_forked() -> Iterator[None]:
    """Save each worker of a deployment half a second of CPU, unless tests are to start it as a user does."""
    with pytest.MonkeyPatch.context() as patch:
        if _IS_REAL:
            patch.setattr(Deployment, "way", "command")
        elif sys.platform == "linux":  # elsewhere a worker could outlive the process that it was forked for
            start_server()
            patch.setattr(Deployment, "way", "fork")
        yield


@pytest.fixture
def workers_by_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the workers of a test by the `hotswap` command, with the product's own hosts."""
    monkeypatch.setattr(Deployment, "way", "command")


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Undo what a command that ran in this process has done to logging."""
    root = logging.getLogger()
    before = root.level, root.handlers[:], logging.getLogger("aiokafka").level
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    logging.getLogger("aiokafka").setLevel(before[2])


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory, workers_are_forked: None) -> Iterator[None]:
    """Keep the session away from the user's settings and folders, and fail it if it leaves a file or a process."""
    folder = tmp_path_factory.mktemp("temporary")
    processes = _ours(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("HOTSWAP_") and not name.startswith("HOTSWAP_TEST_"):
                patch.delenv(name)
        for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp("home")))
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("ORT_DISABLE_TELEMETRY", "1")  # of tests that compare with onnxruntime
        patch.setattr(tempfile, "tempdir", str(folder))
        yield
    assert [path.name for path in folder.iterdir()] == [], "temporary files were left behind"
    assert _remaining(folder, processes) == {}, "processes were left behind"


@pytest.fixture(scope="session", autouse=True)
def hosts_do_not_warm_up() -> Iterator[None]:
    """Save half a second of CPU for each model host of a deployment's workers, and of our own, in the same way."""
    with pytest.MonkeyPatch.context() as patch:
        if not _IS_REAL:
            patch.setattr(Deployment, "child", COLD)
            patch.setitem(_DEFAULTS, "child", COLD)
        yield


@pytest.fixture
def collector_is_off() -> Iterator[None]:
    """Collect no garbage during a test that parses sources.

    Python 3.11.7 counts the depth of every tree under construction in one place (gh-106905). A lost future is collected
    within a parser, its finalizer logs a traceback, whose carets need a second parser, and the first one fails.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config) -> None:
    """Start one Kafka for all the processes that run tests side by side, before they start; speed up their own ones."""
    shared = ExitStack()
    config.add_cleanup(shared.close)
    folder = shared.enter_context(tempfile.TemporaryDirectory())
    shared.enter_context(ThreadPoolExecutor(1)).submit(prepare, Path(folder))
    os.environ[PREPARED] = folder
    os.environ["HOTSWAP_TEST_KAFKA"] = shared.enter_context(_any_kafka()).bootstrap


@pytest.fixture(scope="session")
def kafka(nothing_left_behind: None) -> Iterator[GivenKafka | LocalKafka]:
    """The Kafka of HOTSWAP_TEST_KAFKA, else Docker's if HOTSWAP_TEST_DOCKER=1 and an engine answers, else a local one.

    Tests share it: each has a deployment and topics of its own, and none stops it.
    """
    with _any_kafka() as found:
        yield found


@contextmanager
def _any_kafka() -> Iterator[GivenKafka | LocalKafka]:
    if given := os.environ.get("HOTSWAP_TEST_KAFKA"):
        yield GivenKafka(given)
    elif os.environ.get("HOTSWAP_TEST_DOCKER") == "1" and _engine_answers():
        with _docker_kafka() as bootstrap:
            yield GivenKafka(bootstrap)
    else:
        with LocalKafka() as local:
            yield local


@pytest.fixture
async def deployment(kafka: Kafka, tmp_path: Path) -> AsyncIterator[Deployment]:
    """A deployment of the test's own on the Kafka that tests share; what is left of its workers is killed."""
    made = Deployment(kafka, tmp_path)
    await made.create()
    yield made
    made.close()


@pytest.fixture(scope="module")
def modules_kafka() -> Iterator[LocalKafka]:
    """A local Kafka of the module's own."""
    with local_kafka() as local:
        yield local


@pytest.fixture
def own_kafka(modules_kafka: LocalKafka) -> LocalKafka:
    """The local Kafka of the module's own, started, that a test may stop and kill."""
    return modules_kafka.start()


def _engine_answers() -> bool:
    import docker  # noqa: PLC0415 - only where Docker is asked for
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        return bool(docker.from_env(timeout=2).ping())
    except DockerException:
        return False


@contextmanager
def _docker_kafka() -> Iterator[str]:
    from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - only where Docker is asked for

    container = KafkaContainer().with_kraft()
    for name in ("REPLICATION_FACTOR", "MIN_ISR", "NUM_PARTITIONS"):
        container = container.with_env(f"KAFKA_TRANSACTION_STATE_LOG_{name}", "1")
    with container.with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false") as started:
        yield started.get_bootstrap_server()


def _ours(folder: Path) -> dict[int, str]:
    """Process ids and command lines of what this process started, orphans too (Linux only; elsewhere none)."""
    me, session = os.getpid(), os.getsid(0)
    parents: dict[int, int] = {}
    orphans: set[int] = set()
    lines: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        pid = int(process.name)
        try:
            state, parent, _, its_session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            line = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
            environment = (process / "environ").read_bytes()
        except OSError:
            continue  # it ended while we looked, or is another user's
        if state == "Z":
            continue
        parents[pid], lines[pid] = int(parent), line
        if str(folder).encode() in environment or (parent == "1" and int(its_session) == session):
            orphans.add(pid)
    ours = {pid for pid in parents if me in _ancestors(pid, parents)}
    # Whoever started us may have been left alone meanwhile, as by nohup: an orphan, and not ours.
    return {pid: lines[pid] for pid in (ours | orphans) - {me, *_ancestors(me, parents)}}


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid := parents.get(pid, 0):
        yield pid


def _remaining(folder: Path, before: dict[int, str]) -> dict[int, str]:
    """What this process started and is still there; what is just about to end is given five seconds."""
    deadline = time.monotonic() + 5
    while left := {pid: line for pid, line in _ours(folder).items() if pid not in before}:
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return left
