"""What may happen in the world of the model, how often, and with which arguments."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, TypeVar

from aiokafka.errors import KafkaConnectionError
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from hotswap.errors import HostError, SwapCode, SwapError
from hotswap.generation import Configuration, Model, Proto
from model.broker import OFFSETS
from model.world import PARTITIONS, TOPICS

Method = TypeVar("Method", bound=Callable[..., None])

WORKERS = 2

ODD = ["marker", "own header", "undecodable", "no value", "no operation", "expired", "other proto", "large"]
"""Kinds of records in the requests topic, beside the good ones; a marker is the end of a publisher's transaction."""
RECORDS = [
    *[["good"] * count for count in range(1, 6) for _ in range(3)],
    *[["good"] * count + [kind] + ["good"] * more for kind in ODD for count in range(3) for more in range(2)],
    *[[kind, other] for kind in ODD for other in ODD],
]
ORDERS = [[0] * count for count in range(1, 9)] + [
    list(picks) for count in range(1, 5) for picks in itertools.product(range(3), repeat=count)
]
"""Which of the calls that wait is answered next, for a few steps."""
CUTS: list[dict[int, int]] = [{}] * 4 + [{0: at} for at in range(-1, 4)] * 2 + [{1: at} for at in range(-1, 4)] * 2
CUTS += [{0: at, 1: other} for at in (0, 2) for other in (0, 1, 3)]
"""Offsets from the end of each partition at which a swap is to take over."""
PARTS = [*itertools.product([True, True, False], [True, False], [None, None, 0, 1])]
"""What a swap names: a model, a proto, one of the configurations."""
PROTOS = [Proto.inline(f"proto {number}") for number in range(2)]
HEADERS = {
    "own header": [("own", b"1"), ("generation", b"666")],
    "no operation": [("operation", b"nope")],
    "expired": [("not-after", b"1000")],
    "other proto": [("proto-digest", PROTOS[0].sha256.encode())],
}
CONFIGURATIONS = [
    Configuration(runtime={"tag": "plain"}),
    Configuration(runtime={"tag": "small"}, max_request_bytes=12, max_batch_records=1),
]
STAGES = ["init", "committed", "score", "produce", "offsets", "end"]
"""What a partition waits for, in this order, from its opening to a commit."""
SLOW = ["", "load", "load", "control", "score", "end", "fetch"]
"""Which calls a worker gets no answer to for a while; none where empty."""
LOST = partial(KafkaConnectionError, "the connection was lost")
FAULTS: Mapping[str, Callable[[], Exception]] = dict.fromkeys(STAGES, LOST) | {
    "load": partial(SwapError, SwapCode.HOST_FAILED, "it died"),
    "score": partial(HostError, "it died"),
}
"""What a call fails with; made anew each time, for an error keeps the frames that it came through."""

workers = st.integers(0, WORKERS - 1)
partitions = st.integers(0, PARTITIONS - 1)
topics = st.sets(st.sampled_from([OFFSETS, TOPICS.predictions, TOPICS.dead_letters]), min_size=1)
records = st.sampled_from(RECORDS)
cuts = st.sampled_from(CUTS)

EVENTS: dict[str, tuple[int, Mapping[str, SearchStrategy[object]]]] = {}
"""The methods that the world may call, each with its weight and the strategy of its arguments."""


def event(weight: int, /, **arguments: SearchStrategy[object]) -> Callable[[Method], Method]:
    """Makes a method one of the things that may happen."""

    def add(method: Method) -> Method:
        EVENTS[method.__name__] = weight, arguments
        return method

    return add


@st.composite
def events(draw: st.DrawFn) -> "Happening":
    """What happens next."""
    # Not rules of hypothesis: those have no weights, and half of them are switched off in most examples. Nothing comes
    # of a world in which nobody publishes, or nobody is answered.
    name = draw(st.sampled_from([name for name, (weight, _) in EVENTS.items() for _ in range(weight)]))
    return Happening(name, {key: draw(strategy) for key, strategy in EVENTS[name][1].items()})


class Happening(NamedTuple):
    name: str
    arguments: dict[str, object]

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={value!r}' for key, value in self.arguments.items())})"


def model(number: int, *, is_broken: bool = False) -> Model:
    return Model(f"model {number}{' broken' if is_broken else ''}", f"{number:064x}")
