"""From a model to a package and back: a draft of its proto, its configuration, samples; for the client and the CLI."""
