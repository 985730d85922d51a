"""Who may command: signatures of commands, the file of trusted keys, and the fold behind them; any reader may call."""
