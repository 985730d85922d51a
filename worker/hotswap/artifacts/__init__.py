"""Artifacts: models and protos in a store, known by their digests; fetched, unpacked, checked and cached by staging."""
