"""Finds out a model's interface in a model host started for this alone, which exits once it has answered."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, Strict

from hotswap.codec.fields import Column, ColumnType
from hotswap.codec.outputs import Output
from hotswap.errors import SwapCode, SwapError
from hotswap.host import facts, frames
from hotswap.host.frames import Frame, FrameError, Kind
from hotswap.host.interface import Interface
from hotswap.host.load import Load, make_order
from hotswap.host.process import HostGone, HostProcess

_SECONDS: Final = 120.0


class _Column(BaseModel):
    model_config = facts.STRICT

    name: facts.Clean
    categories: facts.Many[facts.Clean] | None
    type: ColumnType
    width: int | None
    other: int | None = None


class _Output(BaseModel):
    model_config = facts.STRICT

    name: facts.Clean
    start: int
    stop: int
    aliases: facts.Many[facts.Clean]
    classes: facts.Many[facts.Clean] | None
    keys: facts.Many[facts.Clean] | None
    is_whole: bool
    is_vector: bool
    is_text: bool
    is_object: bool
    is_list: bool
    size: int | None
    is_inner: bool


# JSON has lists, which strict mode takes for no tuples.
_Fields = facts.Many[Annotated[tuple[facts.Clean, facts.Clean, bool], Strict(False)]]


class _Described(BaseModel):
    model_config = facts.STRICT

    description: facts.Clean
    columns: facts.Many[_Column] | None
    outputs: facts.Many[_Output] | None
    unoffered: facts.Many[facts.Clean] = []
    functions: dict[facts.Clean, Annotated[tuple[_Fields | None, _Fields | None], Strict(False)]] = {}
    advice: facts.Clean = ""


async def ask(load: Load, child: Sequence[str] = (sys.executable, "-m", "hotswap.host.child")) -> Interface:
    """Load only the model and return its interface; the proto of `load` is ignored.

    A Python model is tried on the samples, rows as JSON objects, if there are any; other kinds ignore them.

    Raises SwapError: the runtime's code if the model cannot be loaded, else HOST_FAILED or HOST_TOO_SLOW.
    """
    order = await make_order(load)
    try:
        process = await HostProcess.start(child)
    except HostGone as error:
        raise SwapError(SwapCode.HOST_FAILED, f"the model host could not be started: {error}") from error
    try:
        process.send(frames.pack_describe(order))
        async with asyncio.timeout(_SECONDS):
            frame = await process.receive()
        return await asyncio.to_thread(_read, frame)
    except (HostGone, FrameError) as error:
        what = f"the model host failed while it loaded the model: {error}; it printed: {process.tail or 'nothing'}"
        raise SwapError(SwapCode.HOST_FAILED, what) from error
    except TimeoutError as error:
        raise SwapError(SwapCode.HOST_TOO_SLOW, f"the model was not loaded within {_SECONDS:.0f} s") from error
    finally:
        process.dispose()


def _read(frame: Frame) -> Interface:
    if frame.kind is Kind.FAILED:
        raise frames.parse_failure(frame.payload)
    return read_interface(frame.payload)


def read_interface(payload: bytes) -> Interface:
    """Read a child's description of its model (interface.facts_of). Raises FrameError."""
    described = facts.read(_Described, payload, "its model")
    return Interface(
        described.description,
        None if described.columns is None else [_column(column) for column in described.columns],
        None if described.outputs is None else [_output(output) for output in described.outputs],
        tuple(described.unoffered),
        described.advice,
        described.functions,
    )


def _column(column: _Column) -> Column:
    return Column(column.name, _tuple(column.categories), column.type, width=column.width, other=column.other)


def _output(output: _Output) -> Output:
    texts = {"aliases": tuple(output.aliases), "classes": _tuple(output.classes), "keys": _tuple(output.keys)}
    return Output(**output.model_dump() | texts)


def _tuple(texts: list[str] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts)
