"""What the real uv installs from an index and from a model's own wheels, and how it fails."""

import asyncio
import importlib.util
import io
import struct
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from fakes.builders import builders, children, command_line, until
from fakes.python_index import locked, vendor, wheel
from hotswap.environments.environments import Environments
from hotswap.errors import SwapCode, SwapError

OTHER = "0" * 64
SPY = b"import pathlib, sys; pathlib.Path({path!r}).write_text('run')\n"


def ask(environment, code):
    """Return what code prints in an environment."""
    command = [
        environment.python,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(environment.site)!r}); {code}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def made(settings):
    return sorted(path.name for path in settings.environments.glob("*")) if settings.environments.exists() else []


async def refusal(environments, folder, **how):
    with pytest.raises(SwapError) as raised:
        await environments.prepare(folder, **how)
    await environments.stop()
    return raised.value


async def test_packages_of_an_index_are_installed_for_the_workers_own_python(environments, index, model):
    environment = await environments.prepare(model(index.add("alpha", wheel("alpha"))))
    assert (
        ask(environment, "import alpha; print(alpha.VERSION, sys.version.split()[0])") == f"1.0 {environment.version}"
    )
    assert {str(environment.python), str(environment.site)} <= set(environment.reads)
    environments.release(environment)


async def test_what_a_marker_excludes_is_not_installed(environments, index, model):
    alpha, beta = index.add("alpha", wheel("alpha")), index.add("beta", wheel("beta"))
    environment = await environments.prepare(model(alpha, beta.replace(" --", " ; python_version < '3' --")))
    assert ask(environment, "import importlib.util as u; print(bool(u.find_spec('beta')))") == "False"
    assert index.downloads() == ["alpha-1.0-py3-none-any.whl"]
    environments.release(environment)


async def test_no_code_of_a_package_runs_while_it_is_installed_and_compiled(environments, index, model, tmp_path):
    spy = SPY.replace(b"{path!r}", repr(str(tmp_path / "was-run")).encode())
    files = dict.fromkeys(("alpha/__init__.py", "alpha.pth", "sitecustomize.py", "usercustomize.py", "json.py"), spy)
    files |= {"compileall.py": spy, "alpha/__main__.py": spy, "alpha-1.0.data/scripts/alpha": b"#!python\n" + spy}
    environment = await environments.prepare(model(index.add("alpha", wheel("alpha", files))))
    assert not (tmp_path / "was-run").exists()
    ask(environment, "import alpha")
    assert (tmp_path / "was-run").exists(), "the spy works"
    environments.release(environment)


async def test_modules_are_compiled_and_are_not_compared_with_their_sources_again(environments, index, model):
    files = {"alpha/__init__.py": b"x = 1\n", "alpha/template.py": b"{{ no Python }}\n", "alpha/tests/a.py": b"\n"}
    environment = await environments.prepare(model(index.add("alpha", wheel("alpha", files))))
    (compiled,) = environment.site.rglob("*.pyc")
    assert compiled == Path(importlib.util.cache_from_source(str(environment.site / "alpha" / "__init__.py")))
    assert struct.unpack_from("<I", compiled.read_bytes(), 4) == (0b01,)  # by a hash, which is not checked (PEP 552)
    environments.release(environment)


async def test_a_model_with_its_own_wheels_needs_no_index(environments, index, model):
    folder = model()
    model(vendor(folder, "alpha", wheel("alpha")))
    environment = await environments.prepare(folder)
    assert ask(environment, "import alpha; print(alpha.VERSION)") == "1.0"
    assert index.asked == []
    environments.release(environment)


async def test_a_model_with_its_own_wheels_gets_no_other_ones(environments, index, model):
    folder = model()
    model(vendor(folder, "alpha", wheel("alpha")), index.add("beta", wheel("beta")))
    said = (await refusal(environments, folder)).message
    assert "beta" in said
    assert said.endswith("the model brings its own wheels, without this one: pack it again")
    assert index.asked == []


async def test_a_damaged_wheel_is_refused_by_its_name(environments, model):
    folder = model()
    model(vendor(folder, "alpha", b"PK\x03\x04 and no zip"))
    error = await refusal(environments, folder)
    assert error.code is SwapCode.ENVIRONMENT_INVALID
    assert "alpha-1.0-py3-none-any.whl" in error.message


async def test_a_model_without_a_lock_needs_no_uv_and_gets_an_empty_folder(environments, tmp_path, without_uv):
    environment = await environments.prepare(tmp_path)
    assert list(environment.site.iterdir()) == []
    environments.release(environment)


async def test_without_uv_a_sentence_names_the_extra(environments, index, model, without_uv):
    error = await refusal(environments, model(index.add("alpha", wheel("alpha"))))
    assert error.code is SwapCode.KIND_MISSING
    assert error.message.endswith("is not installed here: install hotswap[python] on every worker")


@pytest.fixture
def without_uv(tmp_path, monkeypatch):
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "uv.py").write_text("raise ImportError('no uv')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))


def sdist(folder):
    path = folder / "alpha-1.0.tar.gz"
    (folder / "setup.py").write_bytes(SPY.replace(b"{path!r}", repr(str(folder / "was-run")).encode()))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder / "setup.py", "alpha-1.0/setup.py")
    return path.read_bytes()


REFUSED = {
    "another hash": (
        lambda index, _: (index.add("alpha", wheel("alpha")), f"alpha==1.0 --hash=sha256:{OTHER}\n")[1],
        "Hash mismatch for `alpha==1.0`",
        "lock the model's requirements again",
    ),
    "no such package": (lambda *_: f"beta==1.0 --hash=sha256:{OTHER}\n", "beta was not found", "correct its name"),
    "no such version": (
        lambda index, _: (index.add("alpha", wheel("alpha")), f"alpha==2.0 --hash=sha256:{OTHER}\n")[1],
        "there is no version of alpha==2.0",
        "correct its name and version",
    ),
    "needs building": (
        lambda index, folder: index.add("alpha", sdist(folder), "alpha-1.0.tar.gz"),
        "alpha==1.0 has no usable wheels",
        "lock a version that has wheels, or build one and pack its wheel with the model",
    ),
    "another system": (
        lambda index, _: index.add(
            "alpha", wheel("alpha", tag="py3-none-win_amd64"), "alpha-1.0-py3-none-win_amd64.whl"
        ),
        "alpha==1.0 has no wheels with a matching platform tag",
        "lock a version with a wheel for this Python and platform",
    ),
    "another Python": (
        lambda index, _: index.add("alpha", wheel("alpha", tag="cp36-cp36m-any"), "alpha-1.0-cp36-cp36m-any.whl"),
        "alpha==1.0 has no wheels with a matching Python",
        "name another Python in .python-version",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_be_installed_is_refused_with_its_reason_and_leaves_nothing(
    environments, settings, index, model, tmp_path, case
):
    publish, why, advice = REFUSED[case]
    error = await refusal(environments, model(publish(index, tmp_path)))
    assert error.code is SwapCode.ENVIRONMENT_INVALID
    assert error.message.startswith("the packages of requirements.lock cannot be installed for Python ")
    assert why in error.message
    assert advice in error.message
    assert [place for place in (str(tmp_path), "127.0.0.1", "\n") if place in error.message] == []
    assert made(settings) == []
    assert not (tmp_path / "was-run").exists()


async def test_an_index_with_a_user_is_asked_as_that_user_and_the_password_is_on_no_command_line(
    settings, index, model
):
    index.user = "robot:s3cret"
    folder = model(index.add("alpha", wheel("alpha")))
    environments = Environments(settings.model_copy(update={"python_index": index.url_for(index.user)}))
    index.is_open.clear()
    preparing = asyncio.create_task(environments.prepare(folder))
    await until(index.was_asked.is_set)
    lines = [command_line(pid) for builder in builders() for pid in (builder, *children(builder))]
    assert any("uv" in line for line in lines)
    assert [line for line in lines if "s3cret" in line] == []
    index.is_open.set()
    environments.release(await preparing)
    await environments.stop()


async def test_an_index_that_refuses_the_user_is_named_by_its_setting_and_its_password_is_not_shown(
    settings, index, model
):
    index.user = "robot:s3cret"
    folder = model(index.add("alpha", wheel("alpha")))
    environments = Environments(settings.model_copy(update={"python_index": index.url_for("robot:wr0ng")}))
    said = (await refusal(environments, folder)).message
    assert said.endswith(": correct the user info of HOTSWAP_PYTHON_INDEX")
    assert [secret for secret in ("wr0ng", "robot", "127.0.0.1", str(index.server_port)) if secret in said] == []


async def test_an_index_that_is_no_url_is_refused(settings, model):
    environments = Environments(settings.model_copy(update={"python_index": "pypi.example.org/s3cret"}))
    said = (await refusal(environments, model(locked("alpha", b"")))).message
    assert said == "HOTSWAP_PYTHON_INDEX is no URL of an index: it must begin with https:// or http://"


async def test_neither_the_users_configuration_nor_the_workers_environment_reaches_uv(
    environments, settings, index, model, tmp_path, monkeypatch
):
    for folder in (tmp_path / "uv", tmp_path / "model", settings.environments):
        folder.mkdir(parents=True)
        (folder / "uv.toml").write_text("no TOML")
    nowhere = "http://127.0.0.1:9/simple/"
    foreign = {"UV_DEFAULT_INDEX": nowhere, "UV_INDEX_URL": nowhere, "PIP_INDEX_URL": nowhere, "UV_OFFLINE": "1"}
    foreign |= {"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    environment = await environments.prepare(model(index.add("alpha", wheel("alpha"))))
    assert ask(environment, "import alpha; print(alpha.VERSION)") == "1.0"
    environments.release(environment)


async def test_packages_that_are_too_large_end_uv_and_the_message_names_the_setting(settings, index, model):
    environments = Environments(settings.model_copy(update={"environment_max_bytes": 1 << 20}))
    files = {f"alpha/{n}.bin": bytes(100_000) for n in range(100)}
    error = await refusal(environments, model(index.add("alpha", wheel("alpha", files))))
    assert error.code is SwapCode.ENVIRONMENT_INVALID
    assert "take more than the 1,048,576 bytes that an environment may" in error.message
    assert error.message.endswith("raise HOTSWAP_ENVIRONMENT_MAX_BYTES")
    assert made(settings) == []


async def test_a_file_that_is_too_large_is_never_written(settings, index, model):
    environments = Environments(settings.model_copy(update={"environment_max_bytes": 1 << 20}))
    error = await refusal(environments, model(index.add("alpha", wheel("alpha", {"big.bin": bytes(50 << 20)}))))
    assert "take more than the 1,048,576 bytes that an environment may" in error.message
    assert made(settings) == []


async def test_a_wheel_with_links_and_paths_out_of_its_folder_gets_nowhere(
    environments, settings, index, model, tmp_path
):
    packed = io.BytesIO(wheel("alpha", {"../../../outside.py": b"", "alpha.py": b"", str(tmp_path / "outside"): b""}))
    with zipfile.ZipFile(packed, "a") as archive:
        link = zipfile.ZipInfo("alpha_link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    environment = await environments.prepare(model(index.add("alpha", packed.getvalue())))
    assert [path for path in environment.site.rglob("*") if path.is_symlink()] == []
    assert list(tmp_path.rglob("outside*")) == []
    assert made(settings) == [environment.digest]
    environments.release(environment)
