"""Warms a fresh host before it serves: a JVM reaches full speed only once it has compiled the code that runs often."""

import time
from collections.abc import Iterator, Sequence
from typing import Final

from hotswap.batch import Answer, Ask, Code, Refusal
from hotswap.errors import SwapCode, SwapError
from hotswap.host.dispatcher import Dispatcher
from hotswap.host.sealing import warming_order

# Measured (GBM, 50 trees): after 2,000 rows the next dozen batches still take up to three times as long; after 20,000
# only the first batch of 2,000 rows does.
_ROWS: Final = 20_000
_SECONDS: Final = 1.0
_INVENTED: Final = 500
_ANSWER_BYTES: Final = 8 << 20
# Small batches first: they take a separate code path.
_SIZES: Final = (*[1] * 50, *[50] * 20, *[500] * 30, *[2_000] * 2)


def check_samples(dispatcher: Dispatcher, samples: Sequence[bytes], max_answer_bytes: int | None = None) -> None:
    """Score the publisher's samples as requests of the first operation.

    Raises SwapError SAMPLE_REFUSED if one is refused, or its answer is larger than the predictions topic allows.
    """
    for index, answer in enumerate(answers_to(dispatcher, next(iter(dispatcher.plans)), samples)):
        if isinstance(answer, Refusal):
            raise SwapError(SwapCode.SAMPLE_REFUSED, f"sample {index} was refused: {answer.code}: {answer.message}")
        _check_size(f"sample {index}", answer, max_answer_bytes)


def answers_to(dispatcher: Dispatcher, operation: str, requests: Sequence[bytes]) -> Iterator[Answer]:
    """Yield the answer to each request of an operation; few are in memory at a time."""
    start, size = 0, 1  # the first by itself: it tells how large the answers are
    while start < len(requests):
        batch = requests[start : start + size]
        answers = dispatcher.score(batch, [Ask(operation)] * len(batch)).answers
        yield from answers
        start, size = start + len(batch), _fitting(len(requests), answers)


def warm(dispatcher: Dispatcher, samples: Sequence[bytes], max_answer_bytes: int | None = None) -> None:
    """Score requests end to end, from bytes to bytes, until 20,000 rows are done or a second has passed.

    Repeats the samples, if any, for the first operation; otherwise the plan makes requests up.

    Raises SwapError SAMPLE_REFUSED if the answer to a made-up row is larger than the predictions topic allows.
    """
    until = time.monotonic() + _SECONDS
    for name, plan in dispatcher.plans.items():
        requests = list(samples or plan.invent(_INVENTED))
        samples = ()
        if not requests:
            continue
        answers = dispatcher.score(requests[:1], [Ask(name)]).answers
        _check_size(f"{name}: a made-up row", answers[0], max_answer_bytes)
        for turn, size in enumerate(_SIZES):
            if time.monotonic() > until:
                return
            batch = (requests * (size // len(requests) + 1))[: _fitting(size, answers)]
            if turn % 2 and dispatcher.can_seal(name):
                dispatcher.seal(bytearray(warming_order(batch)))
            else:
                dispatcher.score(batch, [Ask(name)] * len(batch))


def _check_size(what: str, answer: Answer, most: int | None) -> None:
    if most is not None and isinstance(answer, bytes) and len(answer) > most:
        raise SwapError(
            SwapCode.SAMPLE_REFUSED,
            f"{what} was refused: {Code.ANSWER_TOO_LARGE}: its answer has {len(answer):,} bytes, but the predictions "
            f"topic allows {most:,}; leave the largest fields out of the proto, or raise the topic's max.message.bytes",
        )


def _fitting(count: int, answers: Sequence[Answer]) -> int:
    """Return how many requests, at most `count`, to score at a time: the answers to them are in memory together."""
    largest = max(len(answer) if isinstance(answer, bytes) else 0 for answer in answers)
    return min(count, _ANSWER_BYTES // max(largest, 1) + 1)
