"""Authorization of commands: signatures, the file of trusted keys, and the fold behind them; any reader may call."""
