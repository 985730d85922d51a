"""Protobuf, CSV and JSON to rows of columns and back."""
