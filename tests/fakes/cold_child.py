"""The model host's process without the warm-up and Java's slow compiler: for tests of answers, not of speed."""

from hotswap.host import child

if __name__ == "__main__":
    vars(child)["warm"] = lambda *_: None
    vars(child)["_JVM_FLAGS"] += ("-XX:TieredStopAtLevel=1",)
    child.main()
