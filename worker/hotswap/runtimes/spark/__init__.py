"""Saved Spark pipelines, and jars that use Spark; `job` scores the same pipeline on a cluster."""
