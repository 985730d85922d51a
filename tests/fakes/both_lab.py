"""A lab of jars whose loads take turns: one refuses what the JVM leaves, one is as it serves, one has no fast path."""

from itertools import cycle
from typing import Any, NoReturn

from harness import lab
from hotswap.batch import Code, Refusal
from hotswap.host import child
from hotswap.runtimes.java import runtime as java
from hotswap.runtimes.java.flat import FlatPlan
from hotswap.runtimes.java.own import NotFlat

TURNS = ("alone", "fast", "plain")
LEFT = Refusal(Code.UNREADABLE, "the JVM left it")


class Alone(FlatPlan):
    def _answer_left(self, value: bytes) -> Refusal:
        return LEFT


def refuse(*_: object) -> NoReturn:
    raise NotFlat("as the test wants it")


def take_turns() -> None:
    plans = cycle((Alone, FlatPlan, refuse))
    load = child._load

    def load_next(*given: Any) -> Any:
        vars(java)["FlatPlan"] = next(plans)
        return load(*given)

    vars(child)["_load"] = load_next


if __name__ == "__main__":
    take_turns()
    lab.serve()
