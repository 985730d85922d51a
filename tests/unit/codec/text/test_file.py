"""Tables as they come: files and stdin, gzip'd or not."""

import gzip
import io
import sys
from pathlib import Path

import pytest

from hotswap.codec.text import file as module
from hotswap.codec.text.file import open_table
from hotswap.errors import UsageError

CSV = b"a,x\nfirst,1.5\n"


@pytest.fixture
def stdin(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return Path("-")

    return give


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("content", "kind"), [(CSV, "csv"), (b'\xef\xbb\xbf \n[{"a": 1}]', "json"), (b"", "csv")])
def test_stdin_is_read_as_it_begins_packed_or_not(stdin, pack, content, kind):
    with open_table(stdin(pack(content))) as (text, found):
        assert (text.read().encode(), found) == (content.removeprefix(b"\xef\xbb\xbf"), kind)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.csv.gz", "csv"), ("a.JSON.gz", "json"), ("a.gz", "csv"), ("a.jsonl", "json")]
)
def test_a_packed_file_is_what_the_suffix_before_says_and_can_be_read_twice(tmp_path, name, kind):
    path = tmp_path / name
    path.write_bytes(gzip.compress(CSV))
    with open_table(path) as (text, found):
        assert (text.read().encode(), found) == (CSV, kind)
        text.seek(0)
        assert text.read().encode() == CSV


def test_a_gzip_that_is_cut_off_and_one_that_unpacks_to_too_much_say_so(tmp_path, monkeypatch):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(CSV)[:-4])
    with open_table(path) as (text, _), pytest.raises(UsageError, match=r"a\.csv\.gz cannot be unpacked.* cut off"):
        text.read()
    monkeypatch.setattr(module, "_MOST_BYTES", 1 << 20)
    path.write_bytes(gzip.compress(b"x" * (2 << 20)))
    with open_table(path) as (text, _), pytest.raises(UsageError, match="unpacks to more than"):
        text.read()


def test_a_file_that_is_missing_is_named(tmp_path):
    with (
        pytest.raises(UsageError, match=r"sample x cannot be read: No such file"),
        open_table(tmp_path / "x", name="sample x"),
    ):
        pass
