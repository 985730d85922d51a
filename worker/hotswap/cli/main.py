"""The command `hotswap`; shared.py describes its input, output and exit codes."""

import os

import click

from hotswap import __version__
from hotswap.cli.exits import Commands

CONFIG_FILE = "HOTSWAP_CONFIG_FILE"  # as in settings/fields.py, which is slow to import for `--help`

_COMMANDS = {
    "abandon": ("promote", "Abandon the staged generation: no further partition cuts over to it."),
    "abort-transaction": (
        "abort_transaction",
        "Abort a transaction that hangs on a topic of a deployment, as `doctor` names it; asks first.",
    ),
    "acls": ("acls", "Print the least rights of each role in a deployment, as commands for kafka-acls or for Strimzi."),
    "batch": ("batch", "Score the Parquet or CSV files of a lake on a Spark cluster; needs the extra `lake`."),
    "compare": (
        "compare",
        "Compare what two deployments answered to the same requests, such as a shadow's answers with those that count.",
    ),
    "console": ("console", "Show deployments in a browser until SIGTERM or Ctrl-C; needs the extra `gateway`."),
    "dead-letters": (
        "dead_letters",
        "List the refused requests by time, each with its place, generation and reason.",
    ),
    "delete": (
        "delete",
        "Delete a deployment's consumer group, and the topics that are its alone, for good; asks first.",
    ),
    "dev": ("worker", "Start a local Kafka, a worker and a gateway, and print the next steps; Ctrl-C stops all."),
    "doctor": ("doctor", "Examine a deployment: Kafka, its topics and their settings, its workers; changes nothing."),
    "encode": ("rows", "Write the rows of a CSV or JSON file as serialized input messages; predict nothing."),
    "forget": ("swap", "Hide a deployment from `hotswap status`, as after a misspelt name."),
    "gateway": ("gateway", "Serve deployments over HTTP until SIGTERM or Ctrl-C; needs the extra `gateway`."),
    "history": (
        "history",
        "List the last commands, newest first: author, time, outcome, and the offsets where each took over.",
    ),
    "keys": ("keys", "The keys that sign commands: make one, list the trusted ones, require signatures."),
    "move": (
        "move",
        "Continue a deployment as NAME, with generations from 1 again, when its numbers are used up.",
    ),
    "pack": (
        "pack",
        "Package a model: its proto, metadata.json, modelpackage.zip, and modeldump.zip with all of them.",
    ),
    "pause": ("swap", "Stop taking batches on every partition, until `resume`."),
    "predict": (
        "rows",
        "Publish each row of a CSV or JSON file as a request, and print the predictions in the order of the rows.",
    ),
    "promote": ("promote", "Promote the staged generation: partitions cut over to it."),
    "resume": ("swap", "Resume after `pause`."),
    "rollback": ("swap", "Serve an older generation's parts again, as a new generation."),
    "run": ("worker", "Run one worker of a deployment until SIGTERM or Ctrl-C; its log goes to stderr."),
    "score": (
        "rows",
        "Score the rows of a CSV or JSON file locally, without Kafka, with a model and a proto from files.",
    ),
    "settings": ("settings", "Print each setting with its value and source; secrets are masked."),
    "shadow": (
        "shadow",
        "Run a shadow of a deployment: another model on the same requests, past and live, beside the one that serves.",
    ),
    "skip": (
        "swap",
        "Skip a damaged batch that holds its partition: each request in it is refused as UNREADABLE.",
    ),
    "status": (
        "status",
        "Show one deployment, or all of them: workers, partitions, lag, the last commands.",
    ),
    "store": ("store", "The artifacts of a deployment in their stores: list the missing ones, and restore them."),
    "swap": ("swap", "Swap the model, the proto, the configuration, or any of them; the rest is inherited."),
    "top": (
        "top",
        "Watch deployments live: partitions, lag, rate, latency, the swap under way, the last refusals.",
    ),
    "topics": ("worker", "The topics of a deployment."),
}


_POSIX = ("batch", "console", "dev", "gateway", "pack", "run", "score", "shadow")
"""The commands that start workers, model hosts or servers."""


@click.group(cls=Commands, lazy=_COMMANDS, posix=_POSIX, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.option("--config", metavar="FILE", envvar=CONFIG_FILE, help=f"A TOML file of settings. [default: {CONFIG_FILE}]")
def main(config: str | None) -> None:
    """A standing fleet that scores Kafka streams exactly once, and swaps its model while they flow.

    Every setting is an environment variable HOTSWAP_<NAME>; HOTSWAP_KAFKA is the address of Kafka.
    `hotswap settings` prints them all, with the sources of their values.

    \b
    Exit codes:
      0  done
      1  refused or failed, wholly or in part
      2  the command line, a setting or a file is wrong
      3  Kafka, a worker or Java cannot be reached or started
    """  # noqa: D301 - click's own mark: do not wrap this paragraph
    if config:
        os.environ[CONFIG_FILE] = config
