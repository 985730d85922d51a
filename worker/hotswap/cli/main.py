"""The command `hotswap`; what it takes in, gives out and exits with is told in shared.py."""

import click

from hotswap import __version__
from hotswap.cli.exits import Commands

_COMMANDS = {
    "dead-letters": ("dead_letters", "List the refused requests: when, where, by which generation, and why."),
    "dev": ("worker", "Start a local Apache Kafka and one worker, and say how to go on; Ctrl-C stops both."),
    "encode": ("rows", "Write the rows of a CSV or JSON file as serialized input messages; predict nothing."),
    "move": (
        "move",
        "Let a deployment go on as NAME, whose generations begin anew: for one whose numbers are used up.",
    ),
    "pack": (
        "pack",
        "Make a package of a model: its proto, metadata.json, modelpackage.zip, and modeldump.zip with all of them.",
    ),
    "pause": ("swap", "Take no further batch on any partition, until `resume`."),
    "predict": (
        "rows",
        "Publish each row of a CSV or JSON file as a request, and print its prediction, in the order of the rows.",
    ),
    "resume": ("swap", "Go on after `pause`."),
    "rollback": ("swap", "Serve an older generation's parts again, as a new generation."),
    "run": ("worker", "Run one worker of a deployment until SIGTERM or Ctrl-C; its log goes to stderr."),
    "score": (
        "rows",
        "Score the rows of a CSV or JSON file with a model and a proto of one's own: here, without Kafka.",
    ),
    "skip": (
        "swap",
        "Go on behind a damaged batch, which holds up its partition: each request of it is refused as UNREADABLE.",
    ),
    "status": (
        "status",
        "Show a deployment, or every deployment there is: workers, partitions, lag, the last commands.",
    ),
    "swap": ("swap", "Swap model, proto, configuration, or any of them; what is not named stays as it is."),
    "topics": ("worker", "The topics of a deployment."),
}


@click.group(cls=Commands, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A standing fleet that scores Kafka streams exactly once, and swaps its model while they flow.

    Every setting is an environment variable HOTSWAP_<NAME>; HOTSWAP_KAFKA says where Kafka is.

    \b
    Exit codes: 0 done; 1 refused or failed, wholly or in part; 2 the command line asks for what cannot be;
    3 Kafka, a worker or Java cannot be reached or started.
    """  # noqa: D301 - click's own mark: do not wrap this paragraph
