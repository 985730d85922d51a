"""CSV and JSON to input messages, and output messages to CSV and JSON; for the model host and the CLI."""
