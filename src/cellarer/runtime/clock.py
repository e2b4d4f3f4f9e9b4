"""The one clock of a run. All processes of a site share origin and speed, so that a time means the same everywhere.

Inside, time is this clock's monotonic ns; the wall clock is for records only. With `speed` the world goes faster than
real time, everything with it; only this module knows.
"""

import ctypes
import time

import msgspec

WHOLE_NS = 1000  # times of samples and cycles are whole µs: what is finer is noise that the input log would keep
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised
_SIZE_OF_TIMEX = 208


class Clock(msgspec.Struct, frozen=True):
    """A clock that starts at `origin_ns` of the computer's monotonic clock."""

    origin_ns: int
    origin_unix_s: float
    speed_permille: int = 1000  # 1000 = real time

    @property
    def speed(self) -> float:
        """How many seconds of the site pass in a real one."""
        return self.speed_permille / 1000

    def now_ns(self) -> int:
        """Return the time now."""
        return self.at(time.monotonic_ns())

    def at(self, monotonic_ns: int) -> int:
        """Return the time of a moment of the computer's monotonic clock."""
        return self.origin_ns + (monotonic_ns - self.origin_ns) * self.speed_permille // 1000

    def unix_s(self, now_ns: int) -> float:
        """Return the wall clock's time of a moment, for records."""
        return self.origin_unix_s + (now_ns - self.origin_ns) * 1e-9

    def sleep_until(self, then_ns: int) -> None:
        """Sleep until a moment of this clock; not at all if it is over."""
        left_ns = then_ns - self.now_ns()
        if left_ns > 0:
            time.sleep(left_ns * 1e-9 / self.speed)


def start_clock(speed: float) -> Clock:
    """Return a clock that starts now."""
    return Clock(time.monotonic_ns(), time.time(), round(speed * 1000))


def wall_clock_is_trusted() -> bool:
    """Tell whether the computer's wall clock is synchronised, as the kernel knows it from NTP or PTP."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = int(libc.adjtimex(ctypes.create_string_buffer(_SIZE_OF_TIMEX)))
    except (OSError, AttributeError):
        return False
    return 0 <= state < _TIME_ERROR
