"""Mapped files between processes: sample rings, snapshot, wish and gate, events, requests, durable record."""
