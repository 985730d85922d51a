"""Reads CSV and JSON to input messages, and writes output messages as CSV and JSON; for the model host and the CLI."""
