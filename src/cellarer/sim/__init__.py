"""Simulated plants behind the same door as devices: own equations, never those of `core`; only cell data is shared."""
