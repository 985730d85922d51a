"""Decodes protobuf, CSV and JSON to rows of columns, and encodes a model's outputs as answers."""
