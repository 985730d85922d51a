"""Models that are functions in Python, run by an interpreter of their own with an environment of their own."""
