"""`hotswap settings`: every setting, its value and its source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import click

from hotswap.cli.late import late
from hotswap.cli.shared import json_option, kafka_option, make_settings, out, print_json, table

with late:
    from hotswap.settings import Settings, origins

_MASK = "********"
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/,]*(?=@)")  # of each URL in a list


@click.command()
@click.argument("deployment", required=False)
@kafka_option
@json_option
def settings(deployment: str | None, kafka: str | None, is_json: bool) -> None:  # noqa: FBT001 - click's
    """Print each setting with its value and source; secrets are masked.

    In descending priority: the command line, the environment (HOTSWAP_<NAME>), the folder of secret files
    (HOTSWAP_SECRETS_DIR, a file for each), the TOML file (--config or HOTSWAP_CONFIG_FILE), the default.
    """
    arguments = {"deployment": deployment, "kafka": kafka}
    current = make_settings(**arguments)
    sources = {**origins(), **{name: "command line" for name, value in arguments.items() if value is not None}}
    rows = {name: (_shown(current, name), sources.get(name, "default")) for name in Settings.model_fields}
    if is_json:
        print_json({name: {"value": value, "from": source} for name, (value, source) in rows.items()})
        return
    out().print(table("Settings", ("Setting", "Value", "From"), _cells(rows)))


def _shown(current: Settings, name: str) -> Any:
    """Return the displayed value of a setting: a JSON type, without secrets."""
    value = getattr(current, name)
    if value is not None and not Settings.model_fields[name].repr:
        return _MASK
    return _PASSWORD.sub(rf"\1:{_MASK}", str(value)) if not isinstance(value, int | float | None) else value


def _cells(rows: Mapping[str, tuple[Any, str]]) -> list[tuple[str, str, str]]:
    return [(name, "" if value is None else str(value), source) for name, (value, source) in rows.items()]
