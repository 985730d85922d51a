"""Runs the command line in this process, with files for it."""

import importlib
from typing import Any

from click.testing import CliRunner, Result

from hotswap.cli.main import main

# A command is imported when it is called: if that were first in a test that has fakes in place, it would keep them.
for _module, _ in main.lazy.values():
    importlib.import_module(f"hotswap.cli.{_module}")

PROTO = """syntax = "proto3";
message Frame { repeated Row rows = 1; }
message Row { string a = 1; optional double x = 2; }
service S { rpc Predict(Frame) returns (Frame); }
"""


SINGLE = """syntax = "proto3";
message Row { optional double x = 1; }
service S { rpc P(Row) returns (Row); rpc Q(Row) returns (Row); }
"""


CSV = "a,x\nfirst,1.5\nsecond,\n"
GOLDEN = b"\x0a\x10\x0a\x05first\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\x0a\x08\x0a\x06second"


def hotswap(*words: object, code: int = 0, **more: Any) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words], **more)
    assert result.exit_code == code, (result.output, result.exception)
    return result


def one_line(result: Result) -> str:
    """Return the error message: exactly one line on stderr, without a traceback."""
    (line,) = result.stderr.splitlines()
    assert line.startswith("hotswap: ")
    return line
