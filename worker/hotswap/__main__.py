"""Entry point of `hotswap` and `python -m hotswap`; it handles signals before it imports the rest."""

import os
import signal
import sys
from types import FrameType


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing has been started yet that would need to be stopped. Not an exception: a module being imported might catch
    # it.
    os._exit(0)


if sys.argv[1:2] == ["run"]:
    # Imports take seconds on a busy machine; the event loop takes over the signals once it runs (service.serve).
    for _number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_number, _leave)


def main() -> None:
    """Run the command that the command line names."""
    from hotswap.cli.main import main as command  # noqa: PLC0415 - only after the lines above

    command()


if __name__ == "__main__":
    main()
