"""The model host's process without the fast path: every request goes through Python. It does not warm up."""

from typing import NoReturn

from hotswap.host import child
from hotswap.runtimes.h2o import runtime as h2o
from hotswap.runtimes.h2o.flat import NotFlat


def refuse(*_: object) -> NoReturn:
    raise NotFlat("as the test wants it")


if __name__ == "__main__":
    vars(child)["warm"] = lambda scorer, samples: None
    vars(h2o)["FlatPlan"] = refuse
    child.main()
