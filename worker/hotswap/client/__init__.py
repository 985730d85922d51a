"""A deployment from the outside: publish, swap, wait, inspect. For users' programs and the CLI, never for a worker."""
