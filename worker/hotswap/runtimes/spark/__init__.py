"""Saved Spark pipelines and jars that use Spark; `job` scores with the same pipeline on a cluster."""
