"""The command `hotswap`; what it takes in, gives out and exits with is told in cli_shared.py."""

import click

from worker.cli_dead_letters import dead_letters
from worker.cli_move import move
from worker.cli_pack import pack
from worker.cli_rows import encode, predict, score
from worker.cli_shared import Commands
from worker.cli_status import status
from worker.cli_swap import pause, resume, rollback, skip, swap
from worker.cli_worker import dev, run, topics


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hotswap")
def main() -> None:
    """A standing fleet that scores Kafka streams exactly once, and swaps its model while they flow.

    Every setting is an environment variable HOTSWAP_<NAME>; HOTSWAP_KAFKA says where Kafka is.

    \b
    Exit codes: 0 done; 1 refused or failed, wholly or in part; 2 the command line asks for what cannot be;
    3 Kafka, a worker or Java cannot be reached or started.
    """  # noqa: D301 - click's own mark: do not wrap this paragraph


for command in (
    run,
    topics,
    dev,
    swap,
    rollback,
    pause,
    resume,
    skip,
    move,
    status,
    pack,
    encode,
    predict,
    score,
    dead_letters,
):
    main.add_command(command)
