"""Tell systemd how we are: `READY=1` by the supervisor, `WATCHDOG=1` by control after a complete cycle.

Fed from the control tick and nowhere else: a thread of its own would hide a loop that hangs. Without systemd silent.
The unit needs `NotifyAccess=all`, because control is not the main process.
"""

import os
import socket
import sys
from contextlib import suppress


def say(text: str) -> None:
    """Tell people and the journal; where nobody can take it (a full disk, a closed pipe) that holds up nobody."""
    with suppress(OSError, ValueError):
        print(f"cellarer {text}", file=sys.stderr, flush=True)


class Notifier:
    """The datagram socket that systemd names."""

    def __init__(self) -> None:
        path = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.connect("\0" + path[1:] if path.startswith("@") else path)

    def send(self, text: str) -> None:
        """Send a state; a full or absent socket is not waited for."""
        if self._socket is not None:
            try:
                self._socket.send(text.encode())
            except (BlockingIOError, ConnectionError):
                return
