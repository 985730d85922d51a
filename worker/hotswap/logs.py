"""Sets up logging: one JSON object per line for machines, readable text on a terminal; the event, then its facts.

log.info("swap.cut_over", extra={"deployment": "churn", "generation": 7, "partition": 0, "offset": 1234})
"""

import logging
import sys
import time
from typing import Literal, TextIO

from hotswap.printable import line_by_line, printable

_REPEAT_S = 10.0
_TALKATIVE = ("aiobotocore", "azure", "botocore", "gcsfs", "google", "msal", "urllib3")
"""The libraries of stores: in detail, they log requests with their signatures and tokens."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What is no fact of an event; uvicorn adds its message with escape sequences once more."""


def set_up(
    *,
    level: str = "INFO",
    style: Literal["auto", "json", "text"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send records of at least `level` to `stream` (default: stderr); "auto" is text on a terminal, else JSON."""
    target = stream or sys.stderr
    is_text = style == "text" or (style == "auto" and target.isatty())
    output = logging.StreamHandler(target)
    output.setFormatter(_Text() if is_text else _json())
    output.addFilter(_Repeats())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(output)
    for library in _TALKATIVE:
        logging.getLogger(library).setLevel(logging.WARNING)
    set_level(level)


def set_level(level: str) -> None:
    """Send records of at least `level` from now on."""
    root = logging.getLogger()
    root.setLevel(level)
    for output in root.handlers:
        output.setLevel(level)
    # Below WARNING, aiokafka logs its internals. No higher either: the reason for a failed connection is only in its
    # warnings, which kafka/client/connection.py captures.
    logging.getLogger("aiokafka").setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)


class _Repeats(logging.Filter):
    """Passes identical aiokafka messages once in ten seconds: while Kafka is down, it logs one for each attempt."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("aiokafka"):
            return True
        message, now = record.getMessage(), time.monotonic()
        self._seen = {seen: at for seen, at in self._seen.items() if now - at < _REPEAT_S}
        if message in self._seen:
            return False
        self._seen[message] = now
        return True


def _json() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 - commands, whose log is text, start without it

    formatter = JsonFormatter(
        "{asctime}{levelname}{message}{name}",
        style="{",
        reserved_attrs=_STANDARD,
        rename_fields={"asctime": "time", "levelname": "level", "message": "event", "name": "logger"},
    )
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    return formatter


class _Text(logging.Formatter):
    """`12:34:56.789 INFO    swap.cut_over  generation=7 partition=0`, followed by the traceback if there is one."""

    def __init__(self) -> None:
        super().__init__("{asctime}.{msecs:03.0f} {levelname:7} {message}", datefmt="%H:%M:%S", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        facts = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line = printable(super().formatMessage(record))
        return line + "".join(f"  {name}={printable(str(value))}" for name, value in facts.items())

    def format(self, record: logging.LogRecord) -> str:
        # A traceback has several lines, which may quote untrusted text.
        return line_by_line(super().format(record))
