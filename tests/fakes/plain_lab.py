"""A lab whose models have no fast path: every request goes through Python."""

from typing import NoReturn

from harness import lab
from hotswap.runtimes.flat import scorer
from hotswap.runtimes.flat.bridge import NotFlat
from hotswap.runtimes.h2o import runtime as h2o


def refuse(*_: object, **__: object) -> NoReturn:
    raise NotFlat("as the test wants it")


if __name__ == "__main__":
    vars(h2o)["SealingFlatPlan"] = vars(scorer)["SealingFlatPlan"] = refuse
    lab.serve()
