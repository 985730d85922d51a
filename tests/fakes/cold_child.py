"""The model host's process without the warm-up and Java's slow compiler: for tests of answers, not of speed.

With `at-once`, what is prepared beforehand does not wait for an idle processor either: for tests that wait for it.
"""

import sys

from hotswap.host import child

if __name__ == "__main__":
    vars(child)["warm"] = lambda *_: None
    vars(child)["_JVM_FLAGS"] += ("-XX:TieredStopAtLevel=1",)
    if sys.argv[1] == "at-once":
        del sys.argv[1]
        vars(child)["_run_when_idle"] = lambda: None
    child.main()
