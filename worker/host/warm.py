"""Makes a fresh host fast before it serves: a JVM compiles what runs often, and only then is as quick as it will be."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from google.protobuf.message import Message

from worker.batch import Refusal
from worker.codec.columns import Decoder
from worker.errors import SwapError
from worker.host.scorer import Scorer

# Measured (GBM, 50 trees): after 2,000 rows the next dozen batches still take up to three times as long; after 20,000
# only the first of 2,000 does.
_ROWS: Final = 20_000
_SECONDS: Final = 1.0
_INVENTED: Final = 500
# Small batches first: they have a path of their own.
_SIZES: Final = (*[1] * 50, *[50] * 20, *[500] * 30, *[2_000] * 2)


def check_samples(scorer: Scorer, samples: Sequence[bytes]) -> None:
    """Score the publisher's samples, requests of the first operation. Raises SwapError SAMPLE_REFUSED."""
    name = next(iter(scorer.decoders))
    for index, answer in enumerate(scorer.score(samples, [name] * len(samples)).answers):
        if isinstance(answer, Refusal):
            raise SwapError("SAMPLE_REFUSED", f"sample {index} is refused: {answer.code}: {answer.message}")


def warm(scorer: Scorer, samples: Sequence[bytes]) -> None:
    """Score rows all the way, from bytes to bytes, until 20,000 are done or a second has passed.

    They are the samples, again and again, where there are some (the first operation's); else made up.
    """
    until = time.monotonic() + _SECONDS
    for name, decoder in scorer.decoders.items():
        requests = list(samples) or list(_invent(decoder, _INVENTED))
        samples = ()
        for size in _SIZES:
            if time.monotonic() > until:
                return
            batch = (requests * (size // len(requests) + 1))[:size]
            scorer.score(batch, [name] * size)


def _invent(decoder: Decoder, count: int) -> Iterator[bytes]:
    """Make up requests of one row, of every category and of numbers around zero: always the same ones."""
    random = np.random.default_rng(0)
    for _ in range(count):
        message = decoder.message()
        row = getattr(message, decoder.rows_field).add() if decoder.rows_field else message
        for source in decoder.sources:
            _put(row, source.path, source.invent(float(random.normal())))
        yield message.SerializeToString()


def _put(row: Message, path: str, value: object) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        row = getattr(row, parent)
    target = getattr(row, name)
    if hasattr(target, "append"):
        target.append(value)
    else:
        setattr(row, name, value)
