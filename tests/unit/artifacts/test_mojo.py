"""The files that a MOJO names must be its own, or it is refused."""

import io
import zipfile
from pathlib import Path

import pytest

from hotswap.artifacts.archive import unpack
from hotswap.artifacts.mojo import check_names
from hotswap.errors import SwapError

ROOT = Path(__file__).parents[3]
MOJOS = sorted(
    path
    for folder in ("tests/models/h2o", "examples/models")
    for path in (ROOT / folder).glob("*.zip")
    if "model.ini" in zipfile.ZipFile(path).namelist()
)


@pytest.fixture
def check(tmp_path):
    def made(**files):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for name, content in {"domains/d000.txt": "", "domains/Ä": "", **files}.items():
                target.writestr(name, content)
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        unpack(buffer, folder, name="m.zip", max_bytes=1 << 30)
        check_names(folder, name="m.zip")

    return made


def ini(domains="0: 4 d000.txt", info=""):
    return f"[info]\nalgo = gbm\n{info}\n[columns]\na/../b\n\n[domains]\n{domains}\n"


@pytest.mark.parametrize("path", MOJOS, ids=lambda path: path.stem)
def test_h2os_own_mojos_name_only_their_own_files(path, tmp_path):
    with path.open("rb") as packed:
        unpack(packed, tmp_path / "mojo", name=path.name, max_bytes=1 << 30)
    check_names(tmp_path / "mojo", name=path.name)


def test_the_mojos_include_ensembles_and_rulefits():
    assert len(MOJOS) > 50
    assert {"stacked_binomial", "rulefit_binomial", "target_encoder_binomial"} <= {path.stem for path in MOJOS}


@pytest.mark.parametrize(
    "domains",
    [
        "0: 1 ../d000.txt",
        "0: 1 ../domains/d000.txt",
        "0: 1 /etc/passwd",
        "0: 1 ..\\d000.txt",
        "0: 1 C:\\d000.txt",
        "0: 1 d001.txt",
        "0: 1 ./d000.txt",
        "0: 1  d000.txt",
        "0: 1",
        "0",
        "0:1 d000.txt\n1: 1 /etc/passwd",
        "0:1 d000.txt\r1: 1 /etc/passwd",
        "# a comment\r\n \t 0:1 /etc/passwd \t",
        "[info]\n[domains]\n0: 1 /etc/passwd",
        "\x1f[domains]\x00\n0: 1 /etc/passwd",
        "0: 1 d000.txt=" + " " * 100_000 + "/../../x",
        " " * 100_000 + "0: 1 /etc/passwd",
    ],
)
def test_a_domain_in_a_foreign_file_is_refused(check, domains):
    with pytest.raises(SwapError, match="which is not its own") as error:
        check(**{"model.ini": ini(domains)})
    assert error.value.code == "ARTIFACT_INVALID"


@pytest.mark.parametrize("domains", ["", "0: 4 d000.txt", "0:4 d000.txt\r\n#1: 4 /x", "0: 4 Ä", " 0: 4 d000.txt "])
def test_a_domain_in_its_own_file_is_accepted(check, domains):
    check(**{"model.ini": ini(domains)})


@pytest.mark.parametrize(
    "directory", ["models/b/", "models//a/", "./models/a/", "../models/a/", "/models/a/", "models/a"]
)
def test_a_submodel_that_is_not_in_the_archive_is_refused(check, directory):
    with pytest.raises(SwapError, match="which is not its own"):
        check(**{"model.ini": ini(info=f"submodel_dir_0={directory}"), "models/a/model.ini": "", "models/b/x": ""})


def test_the_names_in_nested_submodels_are_checked_too(check):
    files = {
        "model.ini": ini(info="submodel_count = 1\nsubmodel_dir_0 = models/a/"),
        "models/a/model.ini": ini("", "submodel_dir_0 = models/b/"),
        "models/a/models/b/model.ini": ini("0: 1 d.txt"),
    }
    with pytest.raises(SwapError, match=r"'models/a/models/b/domains/d\.txt' in 'models/a/models/b/model\.ini'"):
        check(**files)
    check(**files, **{"models/a/models/b/domains/d.txt": ""})


def test_a_model_that_contains_itself_is_checked_once(check):
    check(**{"model.ini": ini(info="submodel_dir_0 =")})


def test_long_lines_are_a_networks_numbers_and_never_names(check):
    check(**{"model.ini": ini(info=f"weight_layer0 = [{'0.5, ' * 50_000}]")})
    for info in (f"submodel_dir_0 = models/a/{' ' * 70_000}/x", f"submodel_dir_0{' ' * 70_000}= /x"):
        with pytest.raises(SwapError, match="a line of more than 65,536 characters"):
            check(**{"model.ini": ini(info=info)})


def test_arbitrary_bytes_are_read(check):
    check(**{"model.ini": bytes(range(256)) * 100})
    with pytest.raises(SwapError):
        check(**{"model.ini": b"[domains]\n0: 1 \xff\xc0\xae\xc0\xae/x"})
