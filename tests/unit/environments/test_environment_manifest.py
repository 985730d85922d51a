"""The manifest finds each change of an environment's files."""

import os
import shutil

import pytest

from hotswap.environments import manifest


@pytest.fixture
def entry(tmp_path):
    content = tmp_path / "entry" / "content"
    (content / "pkg" / "__pycache__").mkdir(parents=True)
    (content / "empty").mkdir()
    (content / "pkg" / "__init__.py").write_bytes(b"x = 1\n")
    (content / "pkg" / "__pycache__" / "x.pyc").write_bytes(bytes(3 << 20))
    (content / "pkg" / "ä\udcff".encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")).touch()
    manifest.write(tmp_path / "entry")
    return tmp_path / "entry"


def linked(entry):
    (entry / "content" / "pkg" / "__init__.py").unlink()
    (entry / "elsewhere").write_bytes(b"x = 1\n")
    (entry / "content" / "pkg" / "__init__.py").symlink_to(entry / "elsewhere")


def content_linked(entry):
    (entry / "content").rename(entry / "away")
    (entry / "content").symlink_to(entry / "away")


CHANGES = {
    "one byte is another": lambda entry: (entry / "content/pkg/__init__.py").write_bytes(b"x = 2\n"),
    "compiled code is another": lambda entry: (entry / "content/pkg/__pycache__/x.pyc").write_bytes(b"x"),
    "a file is gone": lambda entry: (entry / "content/pkg/__init__.py").unlink(),
    "a file more": lambda entry: (entry / "content/sitecustomize.py").touch(),
    "a folder more": lambda entry: (entry / "content/more").mkdir(),
    "a folder is gone": lambda entry: (entry / "content/empty").rmdir(),
    "a file for a folder": lambda entry: ((entry / "content/empty").rmdir(), (entry / "content/empty").touch()),
    "a link": linked,
    "a pipe": lambda entry: os.mkfifo(entry / "content/pipe"),
    "the folder is a link": content_linked,
    "all is gone": lambda entry: shutil.rmtree(entry / "content"),
    "no manifest": lambda entry: (entry / "manifest.json").unlink(),
    "half a manifest": lambda entry: (entry / "manifest.json").write_text('{"a": '),
    "a manifest of another kind": lambda entry: (entry / "manifest.json").write_text("[1]"),
}


def test_an_environment_as_it_was_made_has_no_fault(entry):
    assert manifest.find_fault(entry) == ""


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_change_is_found(entry, change):
    change(entry)
    assert manifest.find_fault(entry)


def test_what_is_more_than_files_and_folders_gets_no_manifest(tmp_path):
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="link is neither a file nor a folder"):
        manifest.write(tmp_path)
