"""Links carry bytes and CAN frames and know nothing of what they mean. `open_link(url)` opens one.

bench:NAME                     loopback bus of the simulated world (links/bench.py); needs `bench_dir`
socketcan:can0                 Linux CAN
udp_multicast:ADDRESS[:PORT]   CAN between processes without hardware
virtual:NAME                   CAN inside one process
serial:/dev/ttyUSB0?baud=9600  serial line
pty:PATH                       the same without baud rate, for a simulated line
tcp:HOST:PORT                  serial server
"""

from pathlib import Path
from typing import Protocol

from cellarer.wire.errors import Unsupported
from cellarer.wire.frame import Frame

Item = Frame | bytes


class Link(Protocol):
    """One bus or line. `lost` counts what could not be sent."""

    lost: int

    def send(self, item: Item) -> None:
        """Send now or drop; never blocks and never repeats."""

    def receive(self, timeout_s: float) -> tuple[Item, int] | None:
        """Return the next frame or chunk with its monotonic time in ns, or None when none came in time."""

    def fileno(self) -> int:
        """Return a descriptor that becomes readable; −1 where there is none."""

    def close(self) -> None:
        """Close; harmless when done twice."""


KINDS = ("bench", "socketcan", "udp_multicast", "virtual", "serial", "pty", "tcp")


def open_link(url: str, bench_dir: Path | str | None = None) -> Link:
    """Open a link by its url. Raises ValueError for a bad url, DeviceError when it cannot be opened."""
    kind, _, rest = url.partition(":")
    if kind not in KINDS or not rest:
        raise ValueError(f"url = {url!r}; allowed: KIND:… with KIND one of {', '.join(KINDS)}")
    if kind == "bench":
        from cellarer.wire.links.bench import BenchLink, bench_path

        if bench_dir is None:
            raise ValueError(
                f"url = {url!r} is a simulated bus; it needs the folder of the simulated world (bench_dir)"
            )
        return BenchLink(bench_path(bench_dir, rest))
    if kind in ("socketcan", "udp_multicast", "virtual"):
        from cellarer.wire.links.can_bus import CanLink

        return CanLink(kind, rest)
    if kind == "tcp":
        from cellarer.wire.links.line import TcpLink

        return TcpLink(rest)
    from cellarer.wire.links.line import SerialLink

    return SerialLink(rest)


__all__ = ["KINDS", "Item", "Link", "Unsupported", "open_link"]
