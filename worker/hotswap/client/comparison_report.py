"""A comparison as a document, and which of the limits that it must keep it does not."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hotswap.client.comparison import QUANTILES, Comparison, LargeDifference
from hotswap.printable import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonLimits:
    """What a comparison must keep, the second deployment being the one that is on trial; None: whatever it is."""

    flips: float | None = None
    """The largest share of rows whose labels differ."""
    refusals: float | None = None
    """The largest share of requests that only the second one refused."""
    differences: Mapping[str, float] = field(default_factory=dict)
    """Path of a number -> the largest difference that 99 % of the rows may have."""
    least_rows: int = 1
    """How many rows must have been compared."""


def breaches(comparison: Comparison, limits: ComparisonLimits) -> Iterator[str]:
    """Yield each limit that is not kept, with what there is."""
    if comparison.rows < limits.least_rows:
        yield f"{counted(comparison.rows, 'row')} compared, and at least {limits.least_rows:,} must be"
    if limits.flips is not None and comparison.flip_share > limits.flips:
        yield f"the labels of {_percent(comparison.flip_share)} of the rows differ, and {_percent(limits.flips)} may"
    share = comparison.refusals(1) / comparison.both if comparison.both else 0.0
    if limits.refusals is not None and share > limits.refusals:
        yield f"the second one alone refused {_percent(share)} of the requests, and {_percent(limits.refusals)} may be"
    for path, most in limits.differences.items():
        if (counted_ := comparison.numbers.get(path)) is None:
            yield f"{path} was not compared: no answers of both have a number of this name"
        elif counted_.undefined / max(counted_.count, 1) > 1 - _SHARE or (counted_.quantile(_SHARE) or 0.0) > most:
            yield f"{path} differs by more than {most:g} in over 1 % of the rows"


_SHARE = 0.99


def document(comparison: Comparison, one: str, other: str) -> dict[str, Any]:
    """Return the comparison of two deployments, by their names, as a JSON document."""
    return {
        "deployments": [one, other],
        "requests": {
            "both": comparison.both,
            "missing": comparison.missing,
            "waiting": comparison.waiting,
            "outside_sample": comparison.outside,
            "answered_again": comparison.again,
            "unreadable": comparison.unreadable,
            "refused": [{"codes": list(codes), "requests": count} for codes, count in comparison.refused.most_common()],
            "refused_by_one_alone": [comparison.refusals(0), comparison.refusals(1)],
        },
        "rows": {
            "compared": comparison.rows,
            "identical": comparison.identical,
            "flips": comparison.flips,
            "flip_share": comparison.flip_share,
            "unpaired_answers": comparison.unpaired,
        },
        "generations": [
            {"generations": list(pair), "rows": counts.rows, "flips": counts.flips}
            for pair, counts in sorted(comparison.pairs.items())
        ],
        "labels": {
            path: [{"labels": list(pair), "rows": count} for pair, count in labels.pairs.most_common()]
            for path, labels in comparison.labels.items()
        },
        "numbers": {
            path: {
                "rows": numbers.count,
                "equal": numbers.equal,
                "undefined": numbers.undefined,
                "mean": numbers.sum / numbers.defined if numbers.defined else None,
                "quantiles": {f"{share:g}": numbers.quantile(share) for share in QUANTILES},
                "largest": numbers.largest,
            }
            for path, numbers in comparison.numbers.items()
        },
        "others": {
            path: {"equal": equal, "different": different} for path, (equal, different) in comparison.others.items()
        },
        "fields_of_one_alone": [sorted(paths) for paths in comparison.lone],
        "largest": [_difference(one) for one in comparison.largest],
    }


def _difference(one: LargeDifference) -> dict[str, Any]:
    size = one.size if math.isfinite(one.size) else None
    values = [_finite(one.one), _finite(one.other)]
    return {"source": one.source, "row": one.row, "field": one.path, "values": values, "difference": size}


def _finite(value: Any) -> Any:
    """Return a number as JSON has it: NaN and infinities are texts there."""
    return value if value is None or math.isfinite(value) else str(value)


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"
