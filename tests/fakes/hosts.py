"""Hosts of the example models, honest ones and hostile ones."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fakes.examples import COLD, IRIS
from hotswap.host.load import Load
from hotswap.host.parent import ModelHost

FAKES = Path(__file__).parent
HOSTILE = (sys.executable, str(FAKES / "hostile_child.py"))
LIAR = (sys.executable, str(FAKES / "liar_child.py"))


class Hosts:
    """Starts hosts that are stopped at the end of a test; `restarts` has the reason of each restart of any of them."""

    def __init__(self) -> None:
        self.restarts: list[str] = []
        self.made: list[ModelHost] = []

    async def start(self, *child: str, load: Load | None = None, deadline_s: float = 30.0) -> ModelHost:
        host = ModelHost(
            load=load or IRIS.load(),
            deadline_s=deadline_s,
            on_restart=self.restarts.append,
            on_unknown=lambda column, _: pytest.fail(column),
            child=child or COLD,
        )
        self.made.append(host)
        await host.start()
        return host


def with_magic(requests: Sequence[bytes], places: Mapping[int, float]) -> list[bytes]:
    """Replace some of the requests by ones that make the hostile child misbehave."""
    message = IRIS.operation.input
    changed = list(requests)
    for place, value in places.items():
        changed[place] = message(sepal_length=value).SerializeToString()
    return changed
