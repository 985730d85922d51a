"""The end of a command: exit code 0, or one line on stderr and another code. Few imports, for a fast `--help`."""

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

_HINTS = {
    "encode": "the deployment is an option, `hotswap encode FILE --deployment NAME`",
    "pack": "the name is an option, `hotswap pack MODEL --name NAME`",
    "rollback": "the generation is an option, `hotswap rollback DEPLOYMENT --to N`",
    "score": "it takes no deployment, `hotswap score FILE --model FILE --proto FILE`",
    "swap": "the model is an option, `hotswap swap DEPLOYMENT --model FILE`",
}
"""Hints for one argument too many."""


class Failure(click.ClickException):
    """An error that ends the command with one line on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(one_line(message))
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line."""
        click.echo(printable(f"hotswap: {self.format_message()}"), file=file, err=file is None)


class Commands(click.Group):
    """A group whose commands report every error in one line: Hotswap's with its text, any other as a bug.

    `lazy`: command name -> its module in `cli/`, and its help's first sentence. A command is imported when it runs, so
    that `--help` does not import them all. On Windows, those in `posix` have help, and fail with one sentence.
    """

    def __init__(
        self, *args: Any, lazy: Mapping[str, tuple[str, str]], posix: Collection[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
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
                param.required = False  # do not report missing options first
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command of this name; click itself suggests only imported ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # noqa: PLC0415 - only where it is needed

            if matches := get_close_matches(args[0], self.lazy, 1):
                raise click.UsageError(f"{error.message} Did you mean {matches[0]!r}?", error.ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the same
        """Write the list of commands with whole summaries; click would truncate them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(self.lazy.items())])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            used = error.ctx.command.name if error.ctx else None
            if error.message.startswith("Got unexpected extra argument") and used in _HINTS:
                raise click.UsageError(f"{error.message}: {_HINTS[used]}", error.ctx) from error
            raise
        except (click.ClickException, click.Abort, click.exceptions.Exit, BrokenPipeError):
            raise
        except HotswapError as error:
            code = f"{error.code}: " if isinstance(error, SwapError) else ""
            raise Failure(f"{code}{error}", exit_code(error)) from error
        except Exception as error:
            if os.environ.get("HOTSWAP_LOG_LEVEL") == "DEBUG":
                note(traceback.format_exc())
            reason = f"{type(error).__name__}: {error}"
            again = "HOTSWAP_LOG_LEVEL=DEBUG shows the traceback"
            raise Failure(f"this is a bug of hotswap, please report it: {reason} ({again})", REFUSED) from error


def exit_with(level: str) -> None:
    """End the command with 1 if the level (`client.findings.Level`) is a fault."""
    if level == "fault":
        raise click.exceptions.Exit(REFUSED)


def exit_code(error: HotswapError) -> int:
    """Return the exit code of an error."""
    if isinstance(error, UsageError):
        return USAGE
    return UNREACHABLE if isinstance(error, StartError | NoAnswer | Doubt) else REFUSED


def one_line(message: str) -> str:
    """Join the lines of a message into one."""
    lines = (line.strip() for line in message.splitlines())
    return "; ".join(line for line in lines if line).replace(":; ", ": ")


def note(lines: str) -> None:
    """Print progress or an error on stderr, above a progress bar."""
    # click.echo would bypass rich's proxy of stderr and write into the bar.
    sys.stderr.write(f"{line_by_line(lines)}\n")
    sys.stderr.flush()
