"""A lab of jars whose loads take turns: one refuses declined requests, one is as it serves, one has no fast path."""

from itertools import cycle
from typing import Any, NoReturn

from harness import lab
from hotswap.batch import Code, Refusal
from hotswap.host import child
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.java import runtime as java
from hotswap.runtimes.java.flat import FlatMethodPlan

TURNS = ("alone", "fast", "plain")
DECLINED = Refusal(Code.UNREADABLE, "the JVM declined it")


class Alone(FlatMethodPlan):
    def _answer_declined(self, value: bytes) -> Refusal:
        return DECLINED


def refuse(*_: object) -> NoReturn:
    raise NotFlat("as the test wants it")


def take_turns() -> None:
    plans = cycle((Alone, FlatMethodPlan, refuse))
    load = child._load

    def load_next(*given: Any) -> Any:
        vars(java)["FlatMethodPlan"] = next(plans)
        return load(*given)

    vars(child)["_load"] = load_next


if __name__ == "__main__":
    take_turns()
    lab.serve()
