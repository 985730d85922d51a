"""The set-up runs once, and again after a change; a failure is reported in one line."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Programs:
    """Stands in for venv, pip and uv: records the commands, and fails where a test says so."""

    def __init__(self):
        self.run: list[list[str]] = []
        self.failing = ""
        self.output = b""

    def __call__(self, command, **_):
        self.run.append(command)
        is_failing = bool(self.failing) and self.failing in command
        return subprocess.CompletedProcess(command, int(is_failing), self.output if is_failing else b"")

    def installed(self) -> list[str]:
        """Return what was installed, the lock or the project, in order, and clear the record."""
        words = [command[-1] for command in self.run if "install" in command]
        self.run.clear()
        return [Path(word).name for word in words]


@pytest.fixture
def programs(monkeypatch):
    programs = Programs()
    monkeypatch.setattr(subprocess, "run", programs)
    monkeypatch.setattr("shutil.which", lambda _: None)
    return programs


@pytest.fixture
def bootstrap(tmp_path, programs):
    """The script in a project of its own."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "requirements.lock").write_text("one==1.0")
    (project / "pyproject.toml").write_text("[project]")
    specification = importlib.util.spec_from_file_location("bootstrap", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.ROOT = project
    return module


def test_the_second_run_starts_no_program(bootstrap, programs):
    assert bootstrap.main() == 0
    assert programs.installed() == ["requirements-pip.lock", "requirements.lock", "project"]
    assert bootstrap.main() == 0
    assert programs.run == []


def test_a_changed_lock_recreates_the_environment(bootstrap, programs):
    bootstrap.main()
    programs.run.clear()
    (bootstrap.ROOT / ".venv" / "old").touch()
    (bootstrap.ROOT / "requirements.lock").write_text("one==2.0")
    bootstrap.main()
    assert programs.installed() == ["requirements-pip.lock", "requirements.lock", "project"]
    assert not (bootstrap.ROOT / ".venv" / "old").exists()


def test_a_changed_project_is_installed_again_and_nothing_else(bootstrap, programs):
    bootstrap.main()
    programs.run.clear()
    (bootstrap.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'")
    bootstrap.main()
    assert programs.installed() == ["project"]


def test_a_moved_folder_gets_a_new_environment(bootstrap, programs):
    bootstrap.main()
    programs.run.clear()
    bootstrap.ROOT = bootstrap.ROOT.rename(bootstrap.ROOT.with_name("moved"))
    bootstrap.main()
    assert programs.installed() == ["requirements-pip.lock", "requirements.lock", "moved"]


def test_a_failed_set_up_starts_over(bootstrap, programs):
    programs.failing = "--editable"
    assert bootstrap.main() == 1
    programs.failing = ""
    programs.run.clear()
    assert bootstrap.main() == 0
    assert programs.installed() == ["requirements-pip.lock", "requirements.lock", "project"]


def test_every_package_is_checked_against_the_lock_and_none_is_compiled(bootstrap, programs):
    bootstrap.main()
    commands = [command for command in programs.run if "-r" in command]
    assert [Path(command[-1]).name for command in commands] == ["requirements-pip.lock", "requirements.lock"]
    assert all({"--require-hashes", "--no-deps", "--only-binary"} <= set(command) for command in commands)


def test_uv_is_used_if_it_is_on_path(bootstrap, programs, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/somewhere/{name}")
    bootstrap.main()
    uv, compiling = programs.run[:-1], programs.run[-1]
    assert [" ".join(command[:2]) for command in uv] == ["/somewhere/uv venv", *["/somewhere/uv pip"] * 2]
    assert "compileall" in compiling


@pytest.mark.parametrize("uv", [None, "/somewhere/uv"])
def test_all_is_compiled_once_it_is_installed_and_a_failure_of_that_fails_nothing(bootstrap, programs, monkeypatch, uv):
    monkeypatch.setattr("shutil.which", lambda _: uv)
    programs.failing = "compileall"
    assert bootstrap.main() == 0
    _, *how, packages, project = programs.run[-1]
    assert how[:2] == ["-m", "compileall"]
    assert [packages, project] == [str(bootstrap.ROOT / ".venv" / "lib"), str(bootstrap.ROOT / "worker")]


def test_an_edited_source_is_compiled_anew(bootstrap, monkeypatch):
    monkeypatch.undo()  # real programs
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")  # with which compileall writes digests instead, as of packages
    folder, source = bootstrap.ROOT / ".venv", bootstrap.ROOT / "worker" / "edited.py"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    source.parent.mkdir()
    source.write_text("print(1)")
    bootstrap.Environment(folder).compile()
    (compiled,) = source.parent.glob("__pycache__/*.pyc")
    assert compiled.read_bytes()[4:8] == bytes(4), "held against the time and the size, which a start need not read"
    for text in ("print(1)", "print(22)"):
        source.write_text(text)
        done = subprocess.run(
            [sys.executable, "-B", "-c", "import edited"], cwd=source.parent, capture_output=True, text=True, check=True
        )
        assert f"print({done.stdout.strip()})" == text


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"WARNING: Retrying after NewConnectionError\nERROR: No matching distribution", "check the network and run"),
        (b"Collecting one\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES\nmore", "ERROR: THESE PACKAGES DO NOT MATCH"),
        (b"Killed", "installing failed, exit code 1"),
    ],
)
def test_a_failed_installation_gives_its_reason_and_the_log_in_one_line(bootstrap, programs, capsys, output, line):
    programs.failing, programs.output = "-r", output
    assert bootstrap.main() == 1
    said = capsys.readouterr().out
    assert line in said
    assert said.endswith("(the whole output is in .venv/setup.log)\n")
    assert said.count("\n") == 1
    assert output in (bootstrap.ROOT / ".venv" / "setup.log").read_bytes()


def test_a_python_without_venv_is_told_which_package_to_install(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else name)
    assert bootstrap.main() == 1
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    said = capsys.readouterr().out
    assert said.startswith(f"hotswap: Python {version} has no venv module: install it (Debian, Ubuntu: ")
    assert said.endswith(f" python{version}-venv)\n")


def test_uv_needs_no_venv_module(bootstrap, programs, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/somewhere/{name}")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert bootstrap.main() == 0
    assert programs.installed() == ["requirements.lock", "project"]


def test_a_python_that_is_too_old_is_told_what_is_needed(bootstrap, monkeypatch, capsys):
    monkeypatch.setattr("sys.version_info", (3, 9, 2))
    assert bootstrap.main() == 1
    assert capsys.readouterr().out.endswith(", but 3.11 or newer is needed: install one\n")


def test_a_python_with_an_incomplete_library_is_reported_in_one_line():
    program = f"import sys, runpy; sys.modules['json'] = None; runpy.run_path({str(ROOT / 'bootstrap.py')!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "has no module json, it is only a part of Python: install it" in done.stdout
    assert done.stderr == ""


def test_a_folder_that_cannot_be_created_is_named(bootstrap, capsys):
    (bootstrap.ROOT / ".venv").touch()
    assert bootstrap.main() == 1
    assert capsys.readouterr().out.count(".venv") == 1


def test_an_interruption_prints_one_line_and_leaves_an_environment_that_is_recreated(
    bootstrap, programs, monkeypatch, capsys
):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupt)
    assert bootstrap.main() == 1
    assert capsys.readouterr().out == "hotswap: the set-up was interrupted: run make again\n"
    assert bootstrap.Environment(bootstrap.ROOT / ".venv").state() == {}


def test_make_without_a_python_stops_with_one_line():
    done = subprocess.run(
        ["make", "--no-print-directory", "-C", ROOT, "PYTHON=no-such-python", "test"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "no Python 3.11 or newer on PATH: install one" in done.stderr
    assert done.stderr.count("\n") == 1


def test_make_help_lists_every_target():
    done = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True)
    targets = [
        "help",
        "setup",
        "setup-all",
        "demo",
        "test",
        "test-all",
        "test-real",
        "check",
        "coverage",
        "proofs",
        "fuzz",
        "attacks",
        "kinds",
        "topics",
        "versions",
        "rights",
        "upgrade",
        "renewals",
        "s3",
        "every-model",
        "every-python-model",
        "both-paths",
        "alerts",
        "console-journey",
        "http-conformance",
        "mlflow",
        "kubernetes-check",
        "lake",
        "odd-headers",
        "verifier",
        "model",
        "mutants",
        "bench",
        "bench-servers",
        "against",
        "cache-check",
        "weights",
        "pictures",
        "train",
        "jars",
        "protos",
        "docs",
        "lock",
        "release-check",
        "image-proof",
        "licences",
        "clean",
    ]
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("  make ")] == targets
