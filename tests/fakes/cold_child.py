"""The model host's process without what takes time and changes no answer: for tests of answers, not of speed.

With `at-once`, what is prepared beforehand does not wait for an idle processor either: for tests that wait for it.
"""

import sys

from hotswap.host import child

QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")
"""Options of a Java without its slow compiler, and without a look at the code of each of the thousands of classes."""


def hurry() -> None:
    """Leave out the warm-up as well."""
    vars(child)["warm"] = lambda *_: None
    vars(child)["_JVM_FLAGS"] += QUICK


if __name__ == "__main__":
    hurry()
    if sys.argv[1] == "at-once":
        del sys.argv[1]
        vars(child)["_run_when_idle"] = lambda: None
    child.main()
