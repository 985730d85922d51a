"""Hotswap: a standing fleet of workers that scores a stream and swaps its model while it flows."""
