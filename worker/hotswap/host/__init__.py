"""The model host: a child process that holds exactly one generation, and the worker's side of it."""
