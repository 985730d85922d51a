import hashlib
import os
import zipfile

import pytest

from hotswap.artifacts.archive import write_zip
from hotswap.artifacts.detect import as_file, find_kind
from hotswap.errors import UsageError

CONTENTS = {
    "mojo.zip": ({"model.ini": b"", "trees/t00.bin": b""}, "h2o"),
    "jar.jar": ({"META-INF/MANIFEST.MF": b""}, "java"),
    "renamed_jar.zip": ({"META-INF/MANIFEST.MF": b"", "A.class": b""}, "java"),
    "jars.zip": ({"a.jar": b"", "lib/b.jar": b""}, "java"),
    "pipeline.zip": ({"metadata/part-00000": b"", "stages/0_A/metadata/part-00000": b""}, "spark"),
    "folder_in_it.zip": ({"model/metadata/part-00000-7ac2.txt": b""}, "spark"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_the_kind_of_a_model_is_detected_from_its_files(tmp_path, name):
    content, kind = CONTENTS[name]
    write_zip(tmp_path / name, content)
    assert find_kind(tmp_path / name) == kind
    with zipfile.ZipFile(tmp_path / name) as file:
        file.extractall(tmp_path / "unpacked")
    if name != "jar.jar":
        assert find_kind(tmp_path / "unpacked") == kind


def test_an_unknown_kind_of_model_lists_what_was_looked_for(tmp_path):
    write_zip(tmp_path / "readme.zip", {"readme.txt": b"", "sub/deeper.ini": b""})
    (tmp_path / "garbage.zip").write_bytes(b"\xffgarbage\x00")
    write_zip(tmp_path / "nothing.zip", {})
    for name in ("readme.zip", "nothing.zip"):
        with pytest.raises(UsageError, match=r"has none of a MOJO's model.ini .*metadata/part-\* .*MANIFEST.*--kind"):
            find_kind(tmp_path / name)
    with pytest.raises(UsageError, match="is neither a zip nor a folder; name its kind with --kind"):
        find_kind(tmp_path / "garbage.zip")
    with pytest.raises(UsageError, match=r"absent does not exist"):
        find_kind(tmp_path / "absent")


def test_a_package_is_not_taken_for_a_model(tmp_path):
    write_zip(tmp_path / "modeldump.zip", {"modelpackage.zip": b"", "default.proto": b""})
    with pytest.raises(UsageError, match="is a package, not a model: pass it with --package"):
        find_kind(tmp_path / "modeldump.zip")


def test_a_folder_is_the_same_zip_whenever_and_in_whatever_order_it_was_written(tmp_path):
    digests = []
    for name, files in (("one", ["metadata/part-0", "stages/a", "stages/b"]), ("two", ["stages/b", "metadata/part-0"])):
        folder = tmp_path / name / "model"
        for file in (*files, "stages/a"):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(file)
            os.utime(folder / file, (1e9, 1e9 + len(digests)))
        with as_file(folder) as packed:
            assert packed.name == "model.zip"
            digests.append(hashlib.sha256(packed.read_bytes()).hexdigest())
            with zipfile.ZipFile(packed) as made:
                assert made.namelist() == ["metadata/part-0", "stages/a", "stages/b"]
                assert {entry.date_time for entry in made.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert len(set(digests)) == 1
    assert not packed.exists()


def test_a_file_is_its_own_artifact(tmp_path):
    (tmp_path / "m.zip").write_bytes(b"as it is")
    with as_file(tmp_path / "m.zip") as file:
        assert file == tmp_path / "m.zip"
