"""How a command ends: with 0, or with one line on stderr and an exit code. Imports little, to keep `--help` fast."""

import importlib
import os
import sys
import traceback
from collections.abc import Collection, Mapping
from typing import IO, Any

import click

from hotswap.cli.late import late
from hotswap.errors import Doubt, HotswapError, NoAnswer, StartError, SwapError, UsageError
from hotswap.local.system import IS_POSIX, need_posix
from hotswap.printable import line_by_line, printable

REFUSED, USAGE, UNREACHABLE = 1, 2, 3

_OPTIONS_MEANT = {
    "encode": "the deployment is an option, `hotswap encode FILE --deployment NAME`",
    "pack": "the name is an option, `hotswap pack MODEL --name NAME`",
    "rollback": "the generation is an option, `hotswap rollback DEPLOYMENT --to N`",
    "score": "it takes no deployment, `hotswap score FILE --model FILE --proto FILE`",
    "swap": "the model is an option, `hotswap swap DEPLOYMENT --model FILE`",
}
"""What was probably meant by one argument too many."""


class Failure(click.ClickException):
    """Ends the command with one line on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(one_line(message))
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(printable(f"hotswap: {self.format_message()}"), file=file, err=file is None)


class Commands(click.Group):
    """A group whose commands report every error in one line: ours with its own text, any other as a bug.

    `lazy` is the name of each command -> the module of `cli/` that defines it, and the first sentence of its help. A
    command is imported when it runs, so that `--help` does not import them all. Those in `posix` end with one
    sentence on Windows; their help is there all the same.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]], posix: Collection[str] = (), **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self.lazy, self.posix = lazy, posix

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return sorted(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Import a command and return it."""
        if cmd_name not in self.lazy:
            return None
        module = importlib.import_module(f"hotswap.cli.{self.lazy[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        for one in command.commands.values() if isinstance(command, click.Group) else (command,):
            one.callback = late.before(one.callback)
        if cmd_name in self.posix and not IS_POSIX:
            command.callback = lambda **_: need_posix(f"`hotswap {cmd_name}`")
            for param in command.params:
                param.required = False  # no option that is missing is worth a word then
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command of this name; click itself suggests one only among those that are imported."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # noqa: PLC0415 - only where it is needed

            if near := get_close_matches(args[0], self.lazy, 1):
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", error.ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """Write the list of commands with their whole summaries; click would cut each to one line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(self.lazy.items())])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            used = error.ctx.command.name if error.ctx else None
            if error.message.startswith("Got unexpected extra argument") and used in _OPTIONS_MEANT:
                raise click.UsageError(f"{error.message}: {_OPTIONS_MEANT[used]}", error.ctx) from error
            raise
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except HotswapError as error:
            code = f"{error.code}: " if isinstance(error, SwapError) else ""
            raise Failure(f"{code}{error}", exit_code(error)) from error
        except Exception as error:
            if os.environ.get("HOTSWAP_LOG_LEVEL") == "DEBUG":
                note(traceback.format_exc())
            what = f"{type(error).__name__}: {error}"
            again = "HOTSWAP_LOG_LEVEL=DEBUG shows the traceback"
            raise Failure(f"this is a bug of hotswap, please report it: {what} ({again})", REFUSED) from error


def exit_with(level: str) -> None:
    """End the command with 1 if this is the level of a fault (`client.findings.Level`)."""
    if level == "fault":
        raise click.exceptions.Exit(REFUSED)


def exit_code(error: HotswapError) -> int:
    """Return the exit code for one of our errors."""
    if isinstance(error, UsageError):
        return USAGE
    return UNREACHABLE if isinstance(error, StartError | NoAnswer | Doubt) else REFUSED


def one_line(message: str) -> str:
    """Join the lines of a message into one."""
    lines = (line.strip() for line in message.splitlines())
    return "; ".join(line for line in lines if line).replace(":; ", ": ")


def note(lines: str) -> None:
    """Print a line of progress, or an error, on stderr; while a bar is shown, above it."""
    # Not click.echo: it writes past rich's proxy of stderr, into the bar.
    sys.stderr.write(f"{line_by_line(lines)}\n")
    sys.stderr.flush()
