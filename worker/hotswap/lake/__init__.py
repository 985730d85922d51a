"""Scores the rows of a lake with a package on a Spark cluster (extra `lake`); `hotswap batch` calls it."""
