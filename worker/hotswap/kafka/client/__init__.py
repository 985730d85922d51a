"""Connections to a cluster, and the rights there."""
