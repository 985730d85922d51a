"""A deployment seen from outside: publish, swap, await, look; for users' programs and the CLI, never for a worker."""
