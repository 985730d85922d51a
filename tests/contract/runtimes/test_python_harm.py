"""What functions in Python cannot do as models: to others, to their host, and to the records beside a harmful one."""

import asyncio
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.python_models import NUMBER, answered, bytes_of, codes, load_of, proto, serving, written
from hotswap.host.process import HostProcess
from hotswap.host.sandbox import AUTO
from hotswap.host.spawn import _environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only")

DEATHS = {
    "os._exit(3)": "it ended with exit code 3",
    "os.kill(os.getpid(), 9)": "it was killed by SIGKILL",
    "os.kill(os.getpid(), 40)": "exit code 71; its last output: the model's own process is gone: it was killed by 40",
    "os.close(int(sys.argv[1]))": "the model's own process is gone",
    "os.write(int(sys.argv[1]), b'\\xff' * 64)": "it announced",
    "os.execv('/bin/true', ['true'])": "the model's own process is gone",
}


@pytest.mark.parametrize("deed", DEATHS)
async def test_a_guest_that_ends_costs_one_record(tmp_path: Path, deed: str) -> None:
    model = f"""
        import os, sys
        def predict(model, columns):
            if 13.0 in list(columns["x"]):
                {deed}
            return columns["x"]
    """
    async with serving(load_of(written(tmp_path / "m", model), NUMBER)) as host:
        answers = await host.score(bytes_of(NUMBER, *({"x": float(x)} for x in range(11, 16))))

    assert codes(answers) == ["answered", "answered", "HOST_CRASHED", "answered", "answered"]
    assert DEATHS[deed] in str(answers[2]), answers[2]


async def test_a_record_that_harms_the_process_for_the_ones_after_it_has_none_of_them_refused(tmp_path: Path) -> None:
    model = """
        import os, sys
        def predict(model, columns):
            if 12.0 in list(columns["x"]):
                os.set_blocking(int(sys.argv[1]), False)
            if 14.0 in list(columns["x"]):
                os._exit(3)
            return columns["x"]
    """
    async with serving(load_of(written(tmp_path / "m", model), NUMBER)) as host:
        answers = await host.score(bytes_of(NUMBER, *({"x": float(x)} for x in range(11, 16))))

    assert codes(answers) == ["answered", "answered", "answered", "HOST_CRASHED", "answered"]


async def test_a_function_that_never_returns_costs_one_record(tmp_path: Path) -> None:
    model = """
        def predict(model, columns):
            while 13.0 in list(columns["x"]): pass
            return columns["x"]
    """
    async with serving(load_of(written(tmp_path / "m", model), NUMBER), deadline_s=1.0) as host:
        answers = await host.score(bytes_of(NUMBER, *({"x": float(x)} for x in (12, 13, 14))))

    assert codes(answers) == ["answered", "HOST_TOO_SLOW", "answered"]


DEEDS = {
    "fork": "os.fork()",
    "program": "__import__('subprocess').run(['/bin/true'])",
    "file beside": "open('/tmp/hotswap-was-here', 'w')",
    "own artefact": "open(str(FOLDER / 'model.py'), 'a')",
    "our file": "open(sys.argv[0], 'a')",
    "environment of the worker": "open(f'/proc/{os.getppid()}/environ').read()",
    "memory of the host": "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "passwords": "open('/etc/shadow').read()",
    "home": "os.listdir('/root')",
    "tcp": "__import__('socket').create_connection(('127.0.0.1', 9))",
    "udp": "__import__('socket').socket(2, 2).sendto(b'x', ('127.0.0.1', 9))",
    "listen": "__import__('socket').create_server(('127.0.0.1', 0))",
    "signal": "os.kill(os.getppid(), 9)",
    "everybody": "os.kill(-1, 9)",
    "trace": "[][0] if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) else None",
    "memory": "bytearray(1 << 34)",
    "shared memory": "__import__('mmap').mmap(-1, 1 << 20)",
    "memory that grows down": "__import__('mmap').mmap(-1, 1 << 20, flags=0x122)",
    "memory as a file": "os.memfd_create('x')",
    "stack": "__import__('resource').prlimit(0, 3, (-1, -1))",
    "limits of the host": "__import__('resource').prlimit(os.getppid(), 7, (0, 0))",
}


async def test_what_a_function_may_not_do_is_refused_to_it(tmp_path: Path) -> None:
    attempts = "\n".join(f"            {name!r}: lambda: {deed}," for name, deed in DEEDS.items())
    model = f"""
        import ctypes, os, sys
        FOLDER = None
        DEEDS = {{\n{attempts}
        }}
        def load(folder):
            global FOLDER
            FOLDER = folder
        def predict(model, columns):
            (name,) = columns["deed"]
            try:
                DEEDS[name]()
            except (OSError, MemoryError, IndexError) as error:
                return [f"{{type(error).__name__}}"]
            return ["done"]
    """
    source = proto("string deed = 1;", "string outcome = 1;")
    found = {}
    async with serving(load_of(written(tmp_path / "m", model), source)) as host:
        assert HostProcess.shut["python"].missing == []
        for name in DEEDS:
            (answer,) = await answered(host, source, {"deed": name})
            found[name] = answer.outcome

    refused = {"PermissionError", "MemoryError", "IndexError", "FileNotFoundError", "ProcessLookupError"}
    assert {name: outcome for name, outcome in found.items() if outcome not in refused} == {}


async def test_a_function_writes_a_folder_of_its_own_and_not_the_one_that_its_host_runs_in(tmp_path: Path) -> None:
    model = """
        def predict(model, columns):
            try:
                return [str(open(path, "w").write("x")) for path in columns["path"]]
            except OSError as error:
                return [type(error).__name__]
    """
    source = proto("string path = 1;", "string outcome = 1;")
    async with serving(load_of(written(tmp_path / "m", model), source)) as host:
        assert host._process
        folder = host._process._folder
        outcomes = [
            (await answered(host, source, {"path": path}))[0].outcome
            for path in ("mine.py", str(folder / "numpy.py"), str(folder / "guest" / "mine.so"))
        ]

    assert outcomes == ["1", "PermissionError", "1"]


def test_a_host_imports_nothing_from_the_folder_that_it_runs_in(tmp_path: Path) -> None:
    (tmp_path / "planted.py").write_text("print('planted')")
    search = "import importlib.util; print(importlib.util.find_spec('planted'))"
    told = subprocess.run(
        [sys.executable, "-c", search], cwd=tmp_path, env=_environment(tmp_path), capture_output=True, check=True
    )

    assert told.stdout == b"None\n"


async def test_a_function_that_fills_the_disk_with_files_that_have_no_name_is_ended(tmp_path: Path) -> None:
    model = """
        import tempfile, time
        def predict(model, columns):
            kept = []
            while columns["x"][0] == 13.0 and len(kept) < 12:
                kept.append(tempfile.TemporaryFile())
                kept[-1].write(bytes(1 << 20))
                kept[-1].flush()
            time.sleep(3 * bool(kept))
            return columns["x"]
    """
    load = load_of(written(tmp_path / "m", model), NUMBER, sandbox=replace(AUTO, folder_mb=10))
    async with serving(load) as host:
        answers = await host.score(bytes_of(NUMBER, {"x": 13.0}, {"x": 1.0}))

    assert codes(answers) == ["HOST_CRASHED", "answered"]
    assert "it wrote more to its folder than it may" in str(answers[0])


async def test_a_function_sees_its_own_process_as_threadpoolctl_does(tmp_path: Path) -> None:
    model = "def predict(model, columns): return [open('/proc/self/maps').read().count('libc')] * len(columns['x'])"
    async with serving(load_of(written(tmp_path / "m", model), NUMBER)) as host:
        (one,) = await answered(host, NUMBER, {"x": 1.0})

    assert one.y > 0


async def test_packages_that_run_code_as_they_are_found_run_it_in_the_sandbox(tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "evil.pth").write_text(
        "import sys, os; sys.forked = []; "
        "exec('try:\\n os.fork()\\nexcept OSError as error:\\n sys.forked.append(type(error).__name__)')\n"
    )
    (site / "helper.py").write_text("VALUE = 2\n")
    model = """
        import helper, sys
        def predict(model, columns):
            return [f"{helper.VALUE} {sys.forked}"] * len(columns["x"])
    """
    source = proto("double x = 1;", "string seen = 1;")
    load = load_of(written(tmp_path / "m", model), source)
    interpreter = load.interpreter
    assert interpreter
    async with serving(replace(load, interpreter=replace(interpreter, site=str(site)))) as host:
        (one,) = await answered(host, source, {"x": 1.0})

    assert one.seen == "2 ['PermissionError']"


async def test_what_a_model_prints_is_logged_at_once_and_a_flood_of_it_costs_one_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = """
        print("loaded")
        def predict(model, columns):
            if 13.0 in list(columns["x"]):
                for _ in range(1024): print("x" * (1 << 20))
            print(len(columns["x"]), "rows")
            return columns["x"]
    """
    caplog.set_level("INFO", "hotswap.host.printed")
    async with serving(load_of(written(tmp_path / "m", model), NUMBER), deadline_s=1.0) as host:
        await host.score(bytes_of(NUMBER, {"x": 1.0}, {"x": 2.0}))
        await asyncio.sleep(0.1)
        said = [vars(record)["text"] for record in caplog.records]
        answers = await host.score(bytes_of(NUMBER, *({"x": float(x)} for x in (12, 13, 14))))

    assert said == ["loaded", "2 rows"]
    assert {vars(record)["generation"] for record in caplog.records} == {1}
    assert codes(answers) == ["answered", "HOST_TOO_SLOW", "answered"]
    assert sum(len(str(vars(record).get("text", ""))) for record in caplog.records) < 3 * 20_000
