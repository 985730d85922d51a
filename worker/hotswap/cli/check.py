"""`hotswap swap … --check` and `rollback … --check`: the plan of the command, and the reasons against it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hotswap.artifacts.places import without_secrets
from hotswap.cli.exits import REFUSED, Failure, note
from hotswap.cli.shared import out, print_json, run, show, styled, table
from hotswap.client.plan_text import rows_of, title_of
from hotswap.client.planning import Planner

if TYPE_CHECKING:
    from rich.text import Text

    from hotswap.client.local_load import LocalLoad
    from hotswap.client.plan import SwapPlan
    from hotswap.settings import Settings


def check_command(settings: Settings, plan: Callable[[Planner], Awaitable[SwapPlan]], *, is_json: bool) -> None:
    """Make a plan, print it, and fail with the reasons against it if there are any."""

    async def made() -> SwapPlan:
        note("checking; nothing is written")
        return await plan(Planner(settings))

    found = run(made())
    if is_json:
        print_json(document_of(found))
    else:
        out().print(table(title_of(found), ["what", "as of now"], _rows(found)))
        if found.is_good:
            show("it can be given: the same command without --check")
    if not found.is_good:
        raise Failure(f"{title_of(found)} would be refused or fail: {'; '.join(found.reasons)}", REFUSED)


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
        "golden": local.golden,
        "fits": {name: list(columns) for name, columns in local.fits.items()},
        "misfits": list(local.misfits),
        "unchecked": local.unchecked,
    }


def _rows(plan: SwapPlan) -> list[tuple[str | Text, str | Text]]:
    return [*rows_of(plan), *(("against it", styled(reason, "red")) for reason in plan.reasons)]
