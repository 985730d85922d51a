"""The model host's process, which does not warm up: for tests of what a model says, not of how soon it is quick."""

from hotswap.host import child

if __name__ == "__main__":
    child.warm = lambda scorer, samples: None
    child.main()
