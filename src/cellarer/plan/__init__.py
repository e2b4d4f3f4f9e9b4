"""Slow planners: they look ahead, return a `model.values.Plan` that expires, and never act. No clock, no file."""
