"""Artifacts: models and protos in a store, identified by digest. Staging fetches, unpacks, checks and caches them."""
