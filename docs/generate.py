"""Writes codes.md, settings.md and metrics.md from the code: into this folder, or the one that is named.

Without a folder's name it also writes the alerts as the Prometheus operator takes them.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from textwrap import indent
from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from hotswap import metrics
from hotswap.batch import Code
from hotswap.errors import SwapCode
from hotswap.settings import Settings


def render_codes() -> str:
    """Both enums of codes, each member with its docstring."""
    return _page(
        "Codes",
        "worker/hotswap/errors.py and worker/hotswap/batch.py",
        "## Of swaps",
        inspect.getdoc(SwapCode) or "",
        _table(("Code", "Meaning"), _members(SwapCode)),
        "## Of requests",
        inspect.getdoc(Code) or "",
        _table(("Code", "Meaning"), _members(Code)),
    )


def render_settings() -> str:
    """Each setting: its environment variable, type, bounds, default and description."""
    fields = Settings.model_json_schema()["properties"]
    rows = [
        (f"`HOTSWAP_{name.upper()}`", _type(field), _default(field), field["description"])
        for name, field in fields.items()
    ]
    return _page(
        "Settings",
        "worker/hotswap/settings",
        "Environment variables of workers and of the command line. In a program each is an argument of `Settings`, in "
        'lower case and without the prefix: `Settings(deployment="churn")`. `hotswap settings` prints each value and '
        "where it comes from. The strongest source wins:",
        "1. an option of the command line, or an argument of `Settings`;\n"
        "2. the environment variable;\n"
        "3. a file named like the setting (`sasl_password`) in the folder `HOTSWAP_SECRETS_DIR`, as Kubernetes mounts "
        "secrets;\n"
        "4. a key named like the setting (`linger_ms = 5`) in the TOML file `HOTSWAP_CONFIG_FILE`, or `hotswap "
        "--config FILE`;\n"
        "5. the default.",
        "A variable that nearly spells a setting's name ends the command with exit code 2; any other `HOTSWAP_*` that "
        "is no setting is a warning, so that a newer version's setting does not stop an older one.",
        _table(("Variable", "Type", "Default", "Description"), rows),
    )


def render_metrics() -> str:
    """Each metric: its name, type, labels, unit and help."""
    defined = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase | metrics.CountedHistogram)]
    return _page(
        "Metrics",
        "worker/hotswap/metrics.py",
        "What a worker serves at `/metrics`, for Prometheus. Each worker counts its own work: sum over the fleet.",
        _table(("Metric", "Type", "Labels", "Unit", "Help"), map(_metric, defined)),
    )


def _metric(metric: MetricWrapperBase | metrics.CountedHistogram) -> tuple[str, ...]:
    (told,) = metric.describe()
    name = told.name + ("_total" if told.type == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - describe() leaves them out
    unit = told.name.rpartition("_")[2]  # Prometheus's rule for names
    return f"`{name}`", told.type, labels, "" if unit == "info" else unit, told.documentation


def _members(codes: type[StrEnum]) -> Iterator[tuple[str, str]]:
    """Each member and the docstring below it, which Python does not keep."""
    (definition,) = ast.parse(inspect.getsource(codes)).body
    assert isinstance(definition, ast.ClassDef)
    for member, below in zip(definition.body, definition.body[1:], strict=False):
        match member, below:
            case ast.Assign(value=ast.Constant(value=str(code))), ast.Expr(value=ast.Constant(value=str(text))):
                yield f"`{code}`", text


def _type(field: Mapping[str, Any]) -> str:
    kind = field["anyOf"][0] if "anyOf" in field else field
    if "enum" in kind:
        return " or ".join(f"`{choice}`" for choice in kind["enum"])
    name = kind.get("format", {"string": "text"}.get(kind["type"], kind["type"]))
    match kind:
        case {"minimum": least, "maximum": most}:
            return f"{name}, {least} to {most}"
        case {"minimum": least}:
            return f"{name}, at least {least}"
        case {"exclusiveMinimum": bound}:
            return f"{name}, more than {bound}"
        case {"pattern": pattern}:
            return f"{name}, matching `{pattern}`"
    return str(name)


def _default(field: Mapping[str, Any]) -> str:
    # One that depends on the machine is made by a function, which pydantic leaves out; its description says what it is.
    return "" if field.get("default") in (None, "") else f"`{field['default']}`"


def _page(title: str, source: str, *parts: str) -> str:
    made = f"<!-- Made from {source} by `make docs`. -->"
    return "\n\n".join([f"# {title}", made, *parts]) + "\n"


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    return "\n".join(map(_row, [head, ["---"] * len(head), *rows]))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in cells)} |"


ALERTS = Path(__file__).parents[1] / "ops" / "alerts.yml"
RULES = ALERTS.parent / "kubernetes" / "prometheus" / "rules.yaml"


def render_rules() -> str:
    """Return ops/alerts.yml as a PrometheusRule."""
    head = (
        "# Made from ops/alerts.yml by `make docs`.\n"
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: hotswap\nspec:\n"
    )
    return head + indent(ALERTS.read_text(encoding="utf-8"), "  ", lambda line: bool(line.strip()))


PAGES = {"codes.md": render_codes, "settings.md": render_settings, "metrics.md": render_metrics}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent
    for name, render in PAGES.items():
        (folder / name).write_text(render())
    if not sys.argv[1:]:
        RULES.write_text(render_rules(), encoding="utf-8")
