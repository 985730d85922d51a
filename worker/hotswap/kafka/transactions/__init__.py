"""Hotswap's own transactions: their producers, states, and the meaning of brokers' answers."""
