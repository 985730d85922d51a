"""A model host's process whose model has no fast path: every request goes through Python.

python benchmarks/plain_child.py FD PARENT          as hotswap.host.child
"""

from typing import NoReturn

from hotswap.host import child
from hotswap.runtimes.flat import scorer
from hotswap.runtimes.flat.bridge import NotFlat


def refuse(*_: object, **__: object) -> NoReturn:
    """Say that no plan is flat."""
    raise NotFlat("as the benchmark asks")


if __name__ == "__main__":
    vars(scorer)["SealingFlatPlan"] = refuse
    child.main()
