"""The model host's process without what takes time and changes no answer: for tests of answers, not of speed.

With `at-once`, what is prepared beforehand does not wait for an idle processor either: for tests that wait for it.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from hotswap.host import child
from hotswap.host.order import Ground

QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")
"""Options of a Java without its slow compiler, and without a look at the code of each of the thousands of classes."""


def hurry() -> None:
    """Leave out the warm-up as well, and seven of the eight loads by which a standby of Spark has Java compile them."""
    vars(child)["warm"] = lambda *_: None
    vars(child)["_JVM_FLAGS"] += QUICK
    vars(child)["_prepare"] = partial(_prepare, child._prepare)


def _prepare(prepare: Callable[..., None], ground: Ground, *given: Any) -> None:
    if ground.kind == "spark":
        from hotswap.runtimes.spark import runtime  # noqa: PLC0415 - the other hosts do without

        vars(runtime)["_PREWARM_LOADS"] = 1
    prepare(ground, *given)


if __name__ == "__main__":
    hurry()
    if sys.argv[1] == "at-once":
        del sys.argv[1]
        vars(child)["_run_when_idle"] = lambda: None
    child.main()
