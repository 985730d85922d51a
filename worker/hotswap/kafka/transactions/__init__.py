"""Transactions of our own: who sends them, in which states, and what each answer of a broker means for them."""
