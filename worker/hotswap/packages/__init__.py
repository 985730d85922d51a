"""Models to packages and back: a drafted proto, the configuration, samples. For the client and the CLI."""
