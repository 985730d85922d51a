"""The program `hotswap`, and `python -m worker`: it can be stopped from its first line on, before it loads the rest."""

import os
import signal
import sys
from types import FrameType


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing is begun yet that would have to be ended. No exception: whatever is being imported might catch it.
    os._exit(0)


if sys.argv[1:2] == ["run"]:
    # The imports take seconds where the machine is busy; the loop takes the signals over once it runs (service.serve).
    for _number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_number, _leave)


def main() -> None:
    """Run the command that the command line names."""
    from hotswap.cli.main import main as command  # noqa: PLC0415 - only behind the lines above

    command()


if __name__ == "__main__":
    main()
