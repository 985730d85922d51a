"""The model host's process without the fast path: every request goes through Python. It does not warm up."""

from hotswap.host import child
from hotswap.runtimes.h2o import runtime as h2o


def refuse(*_):
    raise h2o.NotFlat("as the test wants it")


if __name__ == "__main__":
    child.warm = lambda scorer, samples: None
    h2o.FlatPlan = refuse
    child.main()
