"""Records docs/terminal.svg: what the first commands of the README print, on a terminal of 80 columns.

    make pictures        (or: python examples/record_terminal.py)

Everything is real: `hotswap dev` with its Kafka, and the other commands against it. Nothing is typed by hand but the
commands.
"""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "terminal.svg"
COLUMNS = 80
DEV = "hotswap dev iris"
READY = "Ctrl-C here stops everything.\r\n"
COMMANDS = (
    "hotswap swap iris --model examples/models/iris_gbm.zip \\\n    --proto examples/protos/iris.proto",
    "hotswap predict iris examples/data/iris.csv 2>&1 | head -4",
    "hotswap swap iris --model examples/models/iris_glm.zip",
    "hotswap predict iris examples/data/iris.csv 2>&1 | head -4",
    "hotswap status iris",
)
_ROWS = 50
_MOVES = re.compile(r"(\r\n|\r|\x1b\[1A|\x1b\[2K)")


@contextmanager
def terminal(command: str, **variables: str) -> Iterator[int]:
    """Runs a command on a terminal of its own, as worker `demo`; yields the end to read from; stops it."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOTSWAP_")}
    environment |= {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        ["/bin/bash", "-c", f"exec {command}"],  # so that it is what is stopped
        env=environment | {"HOTSWAP_WORKER_ID": "demo"} | variables,
        cwd=ROOT, stdin=its, stdout=its, stderr=its, start_new_session=True,
    )  # fmt: skip
    os.close(its)
    try:
        yield ours
    finally:
        process.terminate()
        process.wait()
        os.close(ours)


def read(terminal: int, until: str = "") -> str:
    """Returns what a terminal gets, until there is this text, or until its last program has ended."""
    written = b""
    while not until or until.encode() not in written:
        try:
            part = os.read(terminal, 1 << 16)
        except OSError:  # how Linux reports that the last program has ended
            break
        written += part
    return written.decode()


def settled(written: str) -> str:
    """Returns what remains on the screen: progress that was drawn anew, a line at a time, replaces itself."""
    lines, at, is_new = [""], 0, False
    for part in _MOVES.split(written):
        if part == "\r\n":
            at, is_new = at + 1, False
            lines += [""] * (at + 1 - len(lines))
        elif part == "\r":
            is_new = True
        elif part == "\x1b[1A":
            at -= 1
        elif part == "\x1b[2K":
            lines[at] = ""
        else:
            lines[at] = part if is_new and part else lines[at] + part
    return "\n".join(lines)


def session() -> Iterator[tuple[str, str]]:
    """Yields each command, and what it has left on the screen."""
    with terminal(DEV) as dev:
        said = read(dev, READY)
        yield DEV, settled(said.partition(READY)[0] + READY)
        kafka = re.search(r"HOTSWAP_KAFKA=(\S+)", said)
        assert kafka, said
        for command in COMMANDS:
            with terminal(command, HOTSWAP_KAFKA=kafka[1]) as other:
                yield command, settled(read(other))


def main() -> None:
    """Records the session, and draws it."""
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"))  # noqa: SIM115
    for command, left in session():
        console.print(Text("$ ", style="bold green") + Text(command, style="bold"))
        shown = Text.from_ansi(left)
        shown.rstrip()
        for line in (*shown.split(), Text()):
            for part in line.divide(range(COLUMNS, line.cell_len, COLUMNS)):  # as a terminal does
                console.print(part)
    console.save_svg(str(PICTURE), title="hotswap")


if __name__ == "__main__":
    main()
