"""Warms a fresh host before it serves: a JVM reaches full speed only once it has compiled the code that runs often."""

import time
from collections.abc import Sequence
from typing import Final

from hotswap.batch import Ask, Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.host.dispatcher import Dispatcher

# Measured (GBM, 50 trees): after 2,000 rows the next dozen batches still take up to three times as long; after 20,000
# only the first batch of 2,000 rows does.
_ROWS: Final = 20_000
_SECONDS: Final = 1.0
_INVENTED: Final = 500
# Small batches first: they take a separate code path.
_SIZES: Final = (*[1] * 50, *[50] * 20, *[500] * 30, *[2_000] * 2)


def check_samples(dispatcher: Dispatcher, samples: Sequence[bytes]) -> None:
    """Score the publisher's samples as requests of the first operation. Raises SwapError SAMPLE_REFUSED."""
    ask = Ask(next(iter(dispatcher.plans)))
    for index, answer in enumerate(dispatcher.score(samples, [ask] * len(samples)).answers):
        if isinstance(answer, Refusal):
            raise SwapError(SwapCode.SAMPLE_REFUSED, f"sample {index} was refused: {answer.code}: {answer.message}")


def warm(dispatcher: Dispatcher, samples: Sequence[bytes]) -> None:
    """Score requests end to end, from bytes to bytes, until 20,000 rows are done or a second has passed.

    Repeats the samples, if any, for the first operation; otherwise the plan makes requests up.
    """
    until = time.monotonic() + _SECONDS
    for name, plan in dispatcher.plans.items():
        requests = list(samples or plan.invent(_INVENTED))
        samples = ()
        for size in _SIZES if requests else ():
            if time.monotonic() > until:
                return
            batch = (requests * (size // len(requests) + 1))[:size]
            dispatcher.score(batch, [Ask(name)] * size)
