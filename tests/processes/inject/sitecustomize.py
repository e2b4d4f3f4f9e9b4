"""Put on the path of a site that is to be disturbed: signals make a process fail where it stands, or its clock jump."""

import signal
import time


def fail(number: int, frame: object) -> None:
    raise RuntimeError("disturbed: an exception at a random moment")


def spin(number: int, frame: object) -> None:
    while True:
        pass


signal.signal(signal.SIGUSR1, fail)
signal.signal(signal.SIGUSR2, spin)


def jump(number: int, frame: object) -> None:
    """Set the wall clock of this process forward or back by ten years."""
    years = 10 if number == signal.SIGRTMIN else -10
    before = time.time

    def later() -> float:
        return before() + years * 365.25 * 86400.0

    time.time = later


signal.signal(signal.SIGRTMIN, jump)
signal.signal(signal.SIGRTMIN + 1, jump)
