"""The command line: one module per family of commands; nothing imports it but `__main__`."""
