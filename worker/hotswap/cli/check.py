"""`hotswap swap … --check` and `rollback … --check`: the plan of the command, and the reasons against it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hotswap.artifacts.places import without_secrets
from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.shared import out, print_json, run, show, styled, table
from hotswap.client.planning import Planner
from hotswap.printable import counted

if TYPE_CHECKING:
    from rich.text import Text

    from hotswap.client.local_load import LocalLoad
    from hotswap.client.plan import SwapPlan
    from hotswap.settings import Settings

_MOST_NAMES = 12
_DIGITS = 12


def check_command(settings: Settings, plan: Callable[[Planner], Awaitable[SwapPlan]], *, is_json: bool) -> None:
    """Make a plan, print it, and fail with the reasons against it if there are any."""

    async def made() -> SwapPlan:
        note("checking; nothing is written")
        return await plan(Planner(settings))

    found = run(made())
    if is_json:
        print_json(document_of(found))
    else:
        out().print(table(_title(found), ["what", "as of now"], _rows(found)))
        if found.is_good:
            show("it can be given: the same command without --check")
    if not found.is_good:
        raise Failure(f"{_title(found)} would be refused or fail: {'; '.join(found.reasons)}", REFUSED)


def document_of(plan: SwapPlan) -> dict[str, Any]:
    """Return a plan as JSON has it."""
    cut, model, proto = plan.cut_over, plan.model, plan.proto
    return {
        "deployment": plan.deployment,
        "generation": plan.generation,
        "serving": plan.serving,
        "base": plan.base,
        "inherited": list(plan.inherited),
        "changed": list(plan.changed),
        "model": model
        and {"name": model.name, "kind": model.kind, "sha256": model.sha256, "uri": without_secrets(model.uri)},
        "is_uploaded": plan.is_uploaded,
        "proto": proto and {"sha256": proto.sha256},
        "step": plan.step and {"name": plan.step.name, "reasons": list(plan.step.reasons)},
        "incompatible": list(plan.incompatible),
        "is_staged": cut.rollout is not None,
        "cut": dict(cut.offsets),
        "backlog": plan.backlog,
        "steps": [None if part is None else sorted(part) for part in cut.steps] if cut.rollout else [],
        "course": list(plan.course),
        "live": plan.live,
        "lacking": plan.lacking,
        "local": _local_document(plan.local),
        "notes": list(plan.notes),
        "reasons": list(plan.reasons),
        "is_good": plan.is_good,
    }


def _local_document(local: LocalLoad) -> dict[str, Any]:
    return {
        "description": local.description,
        "seconds": round(local.seconds, 3),
        "samples": local.samples,
        "fits": {name: list(columns) for name, columns in local.fits.items()},
        "misfits": list(local.misfits),
        "unchecked": local.unchecked,
    }


def _title(plan: SwapPlan) -> str:
    return f"generation {plan.generation} of {plan.deployment}" if plan.generation else f"a swap of {plan.deployment}"


def _rows(plan: SwapPlan) -> list[tuple[str | Text, str | Text]]:
    rows = [
        ("serves now", f"generation {plan.serving}" if plan.serving else "nothing"),
        ("inherits", f"{', '.join(plan.inherited)} of generation {plan.base}" if plan.inherited else ""),
        ("changes", ", ".join(plan.changed)),
        ("model", _model(plan)),
        ("proto", _proto(plan)),
        ("loaded here", _loaded(plan.local)),
        *((f"columns of {name}", _named(columns)) for name, columns in plan.local.fits.items() if columns),
        ("do not fit", "\n".join(plan.local.misfits)),
        ("workers", _workers(plan)),
        ("course", "\n".join(plan.course)),
        ("note", "\n".join(plan.notes)),
    ]
    shown: list[tuple[str | Text, str | Text]] = [(what, text) for what, text in rows if text]
    return shown + [("against it", styled(reason, "red")) for reason in plan.reasons]


def _model(plan: SwapPlan) -> str:
    if plan.model is None:
        return ""
    model = plan.model
    where = "would be uploaded to" if plan.is_uploaded else "in"
    return f"{model.name}, kind {model.kind}, SHA-256 {model.sha256[:_DIGITS]}…, {where} {without_secrets(model.uri)}"


def _proto(plan: SwapPlan) -> str:
    if plan.proto is None:
        return ""
    if plan.step is None:
        return "the serving one" if plan.serving and "proto" not in plan.changed else ""
    lines = [f"{plan.step.name} step from the serving one", *plan.step.reasons]
    if plan.incompatible:
        lines[0] += ", and it would misread requests of that"
    return "\n".join(lines)


def _loaded(local: LocalLoad) -> str:
    if local.unchecked:
        return f"not checked here: {local.unchecked}"
    if local.fault:
        return "it cannot be loaded"
    scored = f", with {counted(local.samples, 'sample')} scored" if local.samples else ""
    return f"in {local.seconds:.1f} s{scored}: {local.description.partition(':')[0]}"


def _named(columns: Any) -> str:
    more = len(columns) - _MOST_NAMES
    return f"{len(columns):,} fit: {', '.join(columns[:_MOST_NAMES])}" + (f" and {more:,} more" if more > 0 else "")


def _workers(plan: SwapPlan) -> str:
    if not plan.live or plan.model is None:
        return ""
    if plan.lacking:
        return "not all of them can load it"
    return f"each live one ({plan.live}) can load models of kind {plan.model.kind}"
