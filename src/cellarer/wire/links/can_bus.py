"""CAN through python-can: SocketCAN, UDP multicast, and virtual buses inside one process."""

import time
from typing import Any

from cellarer.wire.errors import DeviceError, Unsupported
from cellarer.wire.frame import Frame

OLDEST_S = 60.0  # a frame that waited longer, or a wall clock that jumped, counts as that old: far too old for anything


class CanLink:
    """One CAN bus. kind: socketcan, udp_multicast or virtual; rest: channel, for multicast ADDRESS[:PORT]."""

    def __init__(self, kind: str, rest: str) -> None:
        try:
            import can
        except ImportError as error:
            raise Unsupported("CAN needs the extra `can`: pip install 'cellarer[can]'") from error
        self._can = can
        self.lost = 0
        self._last_ns = 0
        channel, _, port = rest.partition(":") if kind == "udp_multicast" else (rest, "", "")
        extra: dict[str, Any] = {"port": int(port)} if port else {}
        try:
            self._bus = can.Bus(interface=kind, channel=channel, **extra)
        except (can.CanError, OSError, ValueError) as error:
            raise DeviceError(f"{kind}:{rest} cannot be opened: {error}; is the interface there and up?") from error

    def send(self, item: Frame | bytes) -> None:
        """Send a frame; it is lost when the controller's queue is full or the bus is off."""
        if not isinstance(item, Frame):
            raise TypeError("a CAN bus carries frames, not bytes")
        try:
            message = self._can.Message(
                arbitration_id=item.id, data=item.data, is_extended_id=item.extended, is_fd=item.fd, check=True
            )
            self._bus.send(message, timeout=0)
        except (self._can.CanError, OSError):
            self.lost += 1

    def receive(self, timeout_s: float) -> tuple[Frame, int] | None:
        """Return the next data frame and when it came; remote and error frames are passed over."""
        end = time.monotonic() + timeout_s
        while True:
            left = max(0.0, end - time.monotonic())
            try:
                message = self._bus.recv(left)
            except (self._can.CanError, OSError) as error:
                raise DeviceError(f"CAN bus cannot be read: {error}") from error
            if message is not None and not message.is_remote_frame and not message.is_error_frame:
                data = bytes(message.data)
                frame = Frame(message.arbitration_id, data, message.is_extended_id, message.is_fd)
                return frame, self._came_ns(message.timestamp)
            if left <= 0:
                return None

    def _came_ns(self, timestamp: float) -> int:
        """Return the monotonic time of a frame that came at this time of the wall clock: it may have waited for us.

        timestamp  s; 0: the system gave none, and the frame counts as new
        """
        waited_s = min(max(time.time() - timestamp, 0.0), OLDEST_S) if timestamp else 0.0
        self._last_ns = max(self._last_ns, time.monotonic_ns() - int(waited_s * 1e9))
        return self._last_ns

    def fileno(self) -> int:
        """Return the socket's descriptor; −1 for buses without one."""
        try:
            return int(self._bus.fileno())
        except NotImplementedError:
            return -1

    def close(self) -> None:
        """Release the bus."""
        self._bus.shutdown()
