"""The generations of a deployment on the screen: what scores which partitions, and what may be promoted."""

from __future__ import annotations

import shlex
from typing import Any

from hotswap.cli.shared import fitting, local_time, styled
from hotswap.client.overview import Overview
from hotswap.client.standings import GenerationView
from hotswap.printable import numbers


def parts(view: Overview, width: int) -> list[Any]:
    """Return a table of the generations, and how to go on with a staged one; nothing if one alone has them all."""
    if not view.is_divided:
        return []
    columns = {
        "generation": [str(one.number) for one in view.generations],
        "model": [one.model for one in view.generations],
        "state": [one.words for one in view.generations],
        "scores partitions": [one.scores for one in view.generations],
        "share": [one.percent for one in view.generations],
    }
    title = f"generations (share: of the requests of {view.window})" if view.window else "generations"
    return [fitting(title, columns, ("model",), width), *(styled(line, "cyan") for line in _ways(view))]


def lines(view: Overview) -> list[str]:
    """Return a line for each generation; nothing if one alone has all partitions."""
    if not view.is_divided:
        return []
    return [
        f"generation {one.number} {one.words}"
        + (f": {one.percent} of the requests of {view.window}" if one.percent else "")
        for one in view.generations
    ]


def shadow_of(view: Overview) -> str:
    """Return what follows the name of a shadow: `, shadow of churn (10 % of the requests)`; empty: it is none."""
    if view.shadowed is None:
        return ""
    sample = view.shadowed.sample
    share = f"{sample.per_million / 10_000:g} % of the requests" if sample.per_million else ""
    where = f"partitions {numbers(sample.partitions)}" if sample.partitions else ""
    of = " of ".join(filter(None, (share, where)))
    return f", shadow of {view.shadowed.of}" + (f" ({of})" if of else "")


def document(one: GenerationView) -> dict[str, Any]:
    """Return a generation as a JSON document."""
    return {
        "generation": one.number,
        "state": one.standing,
        "model": one.model,
        "partitions": list(one.partitions),
        "share": None if one.share is None else round(one.share, 4),
        "promoted": list(one.promoted),
        "promote_by_ms": one.promote_by_ms,
        "is_open": one.is_open,
        "replaces": one.replaces,
        "loaded_on": list(one.loaded),
    }


def _ways(view: Overview) -> list[str]:
    """Return the commands that end a stage, in time or at last."""
    name = shlex.quote(view.deployment)
    lines = []
    for one in view.generations:
        if one.may_be_promoted(view.at):
            until = f"until {local_time(one.promote_by_ms)}, " if one.promote_by_ms else ""
            lines.append(f"generation {one.number} awaits `hotswap promote {name}` {until}or `hotswap abandon {name}`")
    return lines
