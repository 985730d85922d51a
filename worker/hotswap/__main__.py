"""Entry point of `hotswap` and `python -m hotswap`; it handles signals before it imports the rest."""

import os
import signal
import sys
from types import FrameType


def _leave(_number: int, _frame: FrameType | None) -> None:
    # Nothing has been started yet that would need to be stopped. Not an exception: a module being imported might catch
    # it.
    os._exit(0)


_words = sys.argv[3:] if sys.argv[1:2] == ["--config"] else sys.argv[1:]
_is_worker = [word for word in _words if not word.startswith("--config=")][:1] == ["run"]

# Imports take seconds on a busy machine, and a Ctrl-C during them would be a traceback.
if _is_worker:
    # The event loop takes over the signals once it runs (service.serve).
    for _number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(_number, _leave)
elif signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main() -> None:
    """Run the command that the command line names."""
    # Plugins of pydantic, of which this program needs none, are looked for in a file of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from hotswap.cli.late import defer  # noqa: PLC0415 - only after the lines above

    defer()
    from hotswap.cli.main import main as command  # noqa: PLC0415 - the same

    if not _is_worker and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # click reports it from here on
    command()


if __name__ == "__main__":
    main()
