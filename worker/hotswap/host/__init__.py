"""The model host: a child process that holds exactly one generation."""
