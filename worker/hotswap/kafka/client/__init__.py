"""Connections to a cluster, and who may do what there."""
