"""README.md's way from a function to a stream runs as it is printed."""

import json
import sys
from pathlib import Path

import pytest

from harness.readme import run_printed


@pytest.mark.skipif(sys.platform != "linux", reason="guests are shut in on Linux only")
def test_a_function_scores_a_stream_after_ten_lines(tmp_path: Path) -> None:
    printed = run_printed("From a function to a stream", "risk", tmp_path, HOTSWAP_KINDS="python")

    assert json.loads(printed.splitlines()[-1])["prediction"] == {"score": 1.41}
