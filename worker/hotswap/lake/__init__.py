"""Scoring of a lake's rows with a package on a Spark cluster (extra `lake`), for `hotswap batch`."""
