"""Of which format an input is, and why a job failed; no session is started."""

import importlib

import pytest

from hotswap.errors import UsageError
from hotswap.lake.plan import File

pytestmark = pytest.mark.spark


@pytest.mark.parametrize(
    ("names", "format_"),
    [(["a.parquet", "b.snappy.parquet"], "parquet"), (["a.csv", "b.csv.gz"], "csv")],
)
def test_the_names_of_files_say_their_format(names, format_):
    storage = importlib.import_module("hotswap.lake.storage")
    assert storage.format_of([File(name, 1, 1) for name in names]) == format_


def test_files_of_two_formats_are_refused_by_name():
    storage = importlib.import_module("hotswap.lake.storage")
    with pytest.raises(UsageError, match=r"Parquet and CSV files \(a\.parquet, b\.csv\)"):
        storage.format_of([File("a.parquet", 1, 1), File("b.csv", 1, 1)])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            "Job aborted: Traceback (most recent call last):\n  File x\nhotswap.errors.HostError: no Java\n\nat java",
            "HostError: no Java",
        ),
        (
            "Job aborted, most recent failure: Lost task: IOException: no space\nat java",
            "Lost task: IOException: no space",
        ),
        ("a file is gone", "a file is gone"),
    ],
)
def test_a_job_fails_for_the_reason_that_python_or_else_spark_gives(error, reason):
    job = importlib.import_module("hotswap.lake.job")
    assert job._reason(Exception(error)) == reason
