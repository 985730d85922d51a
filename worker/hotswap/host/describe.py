"""Asks a model what it takes and gives, in a model host of its own that ends with the answer."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from hotswap.errors import SwapCode, SwapError
from hotswap.host import frames
from hotswap.host.frames import Frame, FrameError, Kind
from hotswap.host.interface import Interface, parse_interface
from hotswap.host.parent import Load, make_order
from hotswap.host.process import HostGone, HostProcess

_SECONDS: Final = 120.0


async def ask(load: Load, child: Sequence[str] = (sys.executable, "-m", "hotswap.host.child")) -> Interface:
    """Load the model alone and give its interface; the proto and the samples of `load` are not looked at.

    Raises SwapError: the model's own code where it cannot be loaded, HOST_FAILED, HOST_TOO_SLOW.
    """
    order = await make_order(load)
    try:
        process = await HostProcess.start(child)
    except HostGone as error:
        raise SwapError(SwapCode.HOST_FAILED, f"the model host did not start: {error}") from error
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
    return parse_interface(frames.parse_facts(frame.payload))
