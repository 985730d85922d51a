"""A plan as text: a title, and rows of what it is about and what is so; for the screen and for the console."""

from collections.abc import Sequence

from hotswap.artifacts.places import without_secrets
from hotswap.client.local_load import LocalLoad
from hotswap.client.plan import SwapPlan
from hotswap.printable import counted

_MOST_NAMES = 12
_DIGITS = 12


def title_of(plan: SwapPlan) -> str:
    """Return what the command would make."""
    return f"generation {plan.generation} of {plan.deployment}" if plan.generation else f"a swap of {plan.deployment}"


def rows_of(plan: SwapPlan) -> list[tuple[str, str]]:
    """Return what the plan says, without the reasons against it; a text may have several lines."""
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
    return [(what, text) for what, text in rows if text]


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
    if local == LocalLoad():  # the caller has done so, and says it
        return ""
    if local.unchecked:
        return f"not checked here: {local.unchecked}"
    if local.fault:
        return "it cannot be loaded"
    scored = f", with {counted(local.samples, 'sample')} scored" if local.samples else ""
    scored += f", with {counted(local.golden, 'golden row')} answered as expected" if local.golden else ""
    return f"in {local.seconds:.1f} s{scored}: {local.description.partition(':')[0]}"


def _named(columns: Sequence[str]) -> str:
    more = len(columns) - _MOST_NAMES
    return f"{len(columns):,} fit: {', '.join(columns[:_MOST_NAMES])}" + (f" and {more:,} more" if more > 0 else "")


def _workers(plan: SwapPlan) -> str:
    if not plan.live or plan.model is None:
        return ""
    if plan.lacking:
        return "not all of them can load it"
    return f"each live one ({plan.live}) can load models of kind {plan.model.kind}"
