"""What people see: dashboard and HTTP API. Reads snapshots and history, writes requests, never more."""

from cellarer.web.app import create
from cellarer.web.serve import listen, server

__all__ = ["create", "listen", "server"]
