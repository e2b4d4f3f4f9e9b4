"""The order that a driver takes; it lies in `wire.order`, because simulated devices understand it too."""

from cellarer.wire.order import Order

__all__ = ["Order"]
