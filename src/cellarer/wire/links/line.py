"""Serial lines: devices, pseudo terminals and TCP serial servers. Standard library; bytes only."""

import os
import select
import socket
import termios
import time
from urllib.parse import parse_qs

from cellarer.wire.errors import DeviceError

_CHUNK = 4096
_BAUD = {int(name[1:]): getattr(termios, name) for name in dir(termios) if name.startswith("B") and name[1:].isdigit()}


class SerialLink:
    """A serial device, 8N1, raw. rest: PATH[?baud=N]; without baud the speed stays as it is (pseudo terminals)."""

    def __init__(self, rest: str) -> None:
        path, _, query = rest.partition("?")
        options = parse_qs(query)
        if unknown := set(options) - {"baud"}:
            raise ValueError(f"serial:{rest}: {unknown.pop()} is unknown; allowed: baud")
        self.lost = 0
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as error:
            raise DeviceError(
                f"{path} cannot be opened: {error.strerror}; is it plugged in, are you in `dialout`?"
            ) from error
        try:
            _raw(self._fd, int(options["baud"][0]) if options else None, path)
        except (ValueError, DeviceError):
            self.close()
            raise

    def send(self, item: object) -> None:
        """Send a chunk; what does not fit into the line's queue is lost."""
        if not isinstance(item, bytes) or hasattr(item, "extended"):
            raise TypeError("a serial line carries bytes, not frames")
        try:
            self.lost += os.write(self._fd, item) < len(item)
        except BlockingIOError:
            self.lost += 1
        except OSError as error:
            raise DeviceError(f"serial line cannot be written: {error.strerror}") from error

    def receive(self, timeout_s: float) -> tuple[bytes, int] | None:
        """Return the bytes that are there."""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return None
        try:
            chunk = os.read(self._fd, _CHUNK)
        except OSError as error:
            raise DeviceError(f"serial line is gone: {error.strerror}") from error
        return (chunk, time.monotonic_ns()) if chunk else None

    def fileno(self) -> int:
        """Return the line's descriptor."""
        return self._fd

    def close(self) -> None:
        """Release the line."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _raw(fd: int, baud: int | None, path: str) -> None:
    """Set 8N1 without any interpretation of bytes."""
    if baud is not None and baud not in _BAUD:
        raise ValueError(f"serial:{path}?baud={baud}; allowed: {', '.join(map(str, sorted(_BAUD)))}")
    try:
        attributes = termios.tcgetattr(fd)
    except termios.error as error:
        raise DeviceError(f"{path} is no serial line") from error
    control = attributes[2] & ~(termios.CSIZE | termios.PARENB | termios.CSTOPB)
    attributes[0] = attributes[1] = attributes[3] = 0
    attributes[2] = control | termios.CS8 | termios.CREAD | termios.CLOCAL
    if baud is not None:
        attributes[4] = attributes[5] = _BAUD[baud]
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


class TcpLink:
    """A serial server on the network. rest: HOST:PORT."""

    def __init__(self, rest: str) -> None:
        host, _, port = rest.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"tcp:{rest}; allowed: tcp:HOST:PORT with PORT 1 to 65535")
        self.lost = 0
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        except OSError as error:
            raise DeviceError(f"tcp:{rest} cannot be reached: {error}") from error
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, item: object) -> None:
        """Send a chunk; what the connection does not take at once is lost."""
        if not isinstance(item, bytes) or hasattr(item, "extended"):
            raise TypeError("a serial server carries bytes, not frames")
        try:
            self.lost += self._socket.send(item) < len(item)
        except BlockingIOError:
            self.lost += 1
        except OSError as error:
            raise DeviceError(f"connection lost: {error}") from error

    def receive(self, timeout_s: float) -> tuple[bytes, int] | None:
        """Return the bytes that are there. Raises DeviceError when the server has hung up."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return None
        try:
            chunk = self._socket.recv(_CHUNK)
        except OSError as error:
            raise DeviceError(f"connection lost: {error}") from error
        if not chunk:
            raise DeviceError("the serial server hung up")
        return chunk, time.monotonic_ns()

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
