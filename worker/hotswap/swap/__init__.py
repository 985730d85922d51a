"""The swap, decided without I/O: commands, verdicts and outcomes as values, and the fold of a control log."""
