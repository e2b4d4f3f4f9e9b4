"""The bench: a bus without hardware, over a UNIX socket that keeps frames whole.

The simulated world owns one `Hub` per bus; everybody else is a client. The hub repeats each frame or chunk to all other
clients and keeps nothing: a client that does not read loses frames (its socket buffer is the bounded queue), it never
slows the others. A client whose hub is gone behaves like one on a silent bus and looks for the hub again. Each record
says when it was sent, as a frame on a real bus has its time of arrival: who reads late knows how old it is.
"""

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cellarer.wire.errors import DeviceError
from cellarer.wire.frame import Frame

_CAN, _BYTES = 0, 1
_STAMP = 8  # bytes of the time
_EXTENDED, _FD = 1 << 31, 1 << 30
_MOST = 65536  # bytes of one record
_BUFFER = 1 << 18  # bytes queued per client: about a second of a full 500 kbit/s bus
_AGAIN_S = 0.1  # between two looks for a lost hub


def bench_path(folder: Path | str, name: str) -> Path:
    """Return the socket of a bench bus. Raises ValueError when the system cannot name it."""
    path = Path(folder) / f"{name}.bus"
    if len(str(path).encode()) > 107:
        raise ValueError(
            f"bench bus {path}: the path has {len(str(path))} bytes, allowed 107; use a shorter run folder"
        )
    return path


def encode(item: Frame | bytes, monotonic_ns: int) -> bytes:
    """Return the record of a frame or chunk and the time at which it is sent."""
    head = monotonic_ns.to_bytes(_STAMP, "little")
    if isinstance(item, Frame):
        word = item.id | _EXTENDED * item.extended | _FD * item.fd
        return head + bytes((_CAN,)) + word.to_bytes(4, "little") + item.data
    return head + bytes((_BYTES,)) + item


def decode(record: bytes) -> tuple[Frame | bytes, int]:
    """Return the frame or chunk of a record, and when it was sent."""
    sent_ns, rest = int.from_bytes(record[:_STAMP], "little"), record[_STAMP:]
    if rest[0] == _BYTES:
        return rest[1:], sent_ns
    word = int.from_bytes(rest[1:5], "little")
    return Frame(word & 0x1FFFFFFF, rest[5:], bool(word & _EXTENDED), bool(word & _FD)), sent_ns


class Hub:
    """The bus itself. Runs in a thread of its own between `start` and `close`; also a context manager."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lost = 0  # records that a client did not take
        self._clients: set[socket.socket] = set()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.path.unlink(missing_ok=True)
        self._server.bind(str(self.path))
        self.path.chmod(0o600)
        self._server.listen(16)
        self._server.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._server, selectors.EVENT_READ)
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"bench {self.path.name}", daemon=True)
        self._open = True

    def start(self) -> "Hub":
        """Begin to repeat."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop, close every client and remove the socket."""
        if not self._open:
            return
        self._open = False
        self._wake.send(b"x")
        if self._thread.is_alive():
            self._thread.join()
        for s in (*self._clients, self._server, self._wake, self._woken):
            s.close()
        self._selector.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> "Hub":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        while self._open:
            for key, _ in self._selector.select():
                if key.fileobj is self._server:
                    self._accept()
                elif key.fileobj is not self._woken:
                    self._repeat(key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            client, _ = self._server.accept()
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._clients.add(client)
            self._selector.register(client, selectors.EVENT_READ)

    def _repeat(self, sender: socket.socket) -> None:
        for record in self._records(sender):
            for client in [c for c in self._clients if c is not sender]:
                try:
                    client.send(record)
                except BlockingIOError:
                    self.lost += 1
                except OSError:
                    self._drop(client)

    def _records(self, sender: socket.socket) -> Iterator[bytes]:
        for _ in range(64):  # then the others have their turn
            try:
                record = sender.recv(_MOST)
            except BlockingIOError:
                return
            except OSError:
                record = b""
            if not record:
                self._drop(sender)
                return
            yield record

    def _drop(self, client: socket.socket) -> None:
        if client in self._clients:
            self._clients.discard(client)
            self._selector.unregister(client)
            client.close()


class BenchLink:
    """A client of a hub."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.lost = 0
        self._socket: socket.socket | None = None
        self._tried = -_AGAIN_S
        self._connect()

    def send(self, item: Frame | bytes) -> None:
        """Put an item on the bus; it is lost when the bus is gone or full."""
        s = self._connect()
        try:
            if s is None:
                raise DeviceError(f"{self.path} has no hub")
            s.send(encode(item, time.monotonic_ns()), socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.lost += 1
        except (OSError, DeviceError):
            self.lost += 1
            self._forget()

    def receive(self, timeout_s: float) -> tuple[Frame | bytes, int] | None:
        """Return the next item and when it was sent, or None."""
        end = time.monotonic() + timeout_s
        while True:
            left = end - time.monotonic()
            s = self._connect()
            if s is None:
                time.sleep(max(0.0, min(left, _AGAIN_S / 5)))
            else:
                record = self._read(s, max(0.0, left))
                if record and len(record) > _STAMP:
                    item, sent_ns = decode(record)
                    return item, min(sent_ns, time.monotonic_ns())
            if left <= 0:
                return None

    def fileno(self) -> int:
        """Return the socket's descriptor, −1 while the hub is gone."""
        return self._socket.fileno() if self._socket else -1

    def close(self) -> None:
        """Leave the bus."""
        self._tried = float("inf")
        self._forget()

    def _read(self, s: socket.socket, timeout_s: float) -> bytes | None:
        s.settimeout(timeout_s)
        try:
            record = s.recv(_MOST)
        except (TimeoutError, BlockingIOError):
            return None
        except OSError:
            record = b""
        if not record:
            self._forget()
        return record

    def _connect(self) -> socket.socket | None:
        if self._socket is None and time.monotonic() - self._tried >= _AGAIN_S:
            self._tried = time.monotonic()
            s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                s.connect(str(self.path))
            except OSError:
                s.close()
            else:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
                self._socket = s
        return self._socket

    def _forget(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None
