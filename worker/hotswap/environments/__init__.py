"""Environments of Python models: made from locks with hashes, and kept in a cache that a machine's workers share."""
