"""Has a model of scikit-learn converted by a child (child.py), and checks what that returns.

The child ran the model's own code: its report and its file are a stranger's. The file is loaded as any model is, in a
model host; the report is shown.
"""

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel

from hotswap.errors import SwapCode, SwapError
from hotswap.generation import TextOptions
from hotswap.host import facts, frames
from hotswap.host.frames import FrameError, Kind
from hotswap.host.process import HostGone, HostProcess, ended
from hotswap.packages.packing import licence_of
from hotswap.packages.sample import open_sample
from hotswap.packages.sklearn.environment import python_for
from hotswap.packages.sklearn.wrote import find_version

_CHILD: Final = str(Path(__file__).with_name("child.py"))
_SECONDS: Final = 1200.0
_MOST_ROWS: Final = 10_000
_MOST_MB: Final = 2048  # ONNX's own bound on a file
_EXIT_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionRequest:
    """A model of scikit-learn to convert, with rows to prove that on.

    `python`: of the user's environment; None: one is made. `trusts_pickle`: load it without a sandbox where there is
    none. `trusts_types`: those in skops' file. `tolerance`: relative (proof.py).
    """

    model: Path
    sample: Path
    text: TextOptions
    cache: Path
    python: Path | None = None
    trusts_pickle: bool = False
    trusts_types: Sequence[str] = ()
    tolerance: float = 1e-5


class Converted(NamedTuple):
    """The ONNX file, and what the child reports on it, a line each."""

    model: Path
    notes: list[str]


class _Compared(BaseModel):
    model_config = facts.STRICT

    rows: int
    differ: int
    absolute: float
    relative: float
    example: facts.Clean


class _Report(BaseModel):
    model_config = facts.STRICT

    sklearn: facts.Clean
    skl2onnx: facts.Clean
    numbers: facts.Clean
    sample: _Compared
    thresholds: _Compared | None
    threshold_count: int
    threshold_total: int
    left_out: facts.Many[facts.Clean]


async def convert(request: ConversionRequest, folder: Path, tell: Callable[[str], None]) -> Converted:
    """Convert a model into a file in `folder`; `tell` gets lines on the progress.

    Raises:
        UsageError: the sample cannot be read, or no environment has the model's version of scikit-learn.
        StartError: the environment cannot be made.
        SwapError: the model cannot be loaded or converted, or the converted one differs from it.

    """
    order = folder / "order.json"
    order.write_text(json.dumps(await asyncio.to_thread(_order, request)), encoding="utf-8")
    version = await asyncio.to_thread(find_version, request.model)
    python = request.python or await python_for(version, request.cache, tell)
    report, content = await _ask((str(python.absolute()), "-I", "-B", "-X", "utf8", _CHILD, str(order)))
    model = folder / f"{request.model.resolve().stem}.onnx"
    model.write_bytes(content)
    if licence := licence_of(request.model):
        shutil.copy(licence, folder)
    return Converted(model, _notes(report, request.tolerance))


def _order(request: ConversionRequest) -> dict[str, object]:
    sample = open_sample(request.sample, request.text, _MOST_ROWS)
    return {
        "model": str(request.model.absolute()),
        "columns": {field.name: field.type.removeprefix("optional ") for field in sample.fields},
        "rows": sample.rows,
        "tolerance": request.tolerance,
        "trusts_pickle": request.trusts_pickle,
        "trusts_types": list(request.trusts_types),
        "most_mb": _MOST_MB,
    }


async def _ask(command: Sequence[str]) -> tuple[_Report, bytes]:
    """Run the child; return its report and the file. Raises SwapError."""
    try:
        process = await HostProcess.start(command)
    except HostGone as error:
        raise SwapError(SwapCode.HOST_FAILED, f"the conversion could not be started: {error}") from error
    try:
        async with asyncio.timeout(_SECONDS):
            frame = await process.receive()
            if frame.kind is Kind.FAILED:
                raise frames.parse_failure(frame.payload)
            report = facts.read(_Report, frame.payload, "the conversion")
            return report, (await process.receive()).payload
    except (HostGone, FrameError) as error:
        code = await process.close(_EXIT_SECONDS)
        how = f"the conversion failed: {error}; {ended(code)}{process.last_output}"
        raise SwapError(SwapCode.HOST_FAILED, how) from error
    except TimeoutError as error:
        raise SwapError(SwapCode.HOST_TOO_SLOW, f"the model was not converted within {_SECONDS:.0f} s") from error
    finally:
        process.dispose()


def _notes(report: _Report, tolerance: float) -> list[str]:
    """Return what the user is to know of a conversion."""
    sample, there = report.sample, report.thresholds
    how = f"converted by skl2onnx {report.skl2onnx} with {report.numbers} numbers"
    same = f"labels are equal, numbers within {tolerance:g} ({_largest(sample)})"
    lines = [f"{how}: as scikit-learn {report.sklearn} on {sample.rows:,} rows of the sample: {same}"]
    if there:
        example = f": {there.example}" if there.differ else ""
        lines.append(
            f"of {there.rows:,} rows made at {report.threshold_count:,} of the {report.threshold_total:,} thresholds "
            f"of its trees, {there.differ:,} differ ({_largest(there)}){example}"
        )
    elif report.threshold_total:
        lines.append(f"no row could be made at the {report.threshold_total:,} thresholds of its trees")
    lines += [f"output `{name}` is left out: scikit-learn has none to compare it with" for name in report.left_out]
    return lines


def _largest(compared: _Compared) -> str:
    return f"largest difference {compared.absolute:.1e}, relative {compared.relative:.1e}"
