"""Put on the path of a site that is to be disturbed: two signals make a process fail where it stands."""

import signal


def fail(number: int, frame: object) -> None:
    raise RuntimeError("disturbed: an exception at a random moment")


def spin(number: int, frame: object) -> None:
    while True:
        pass


signal.signal(signal.SIGUSR1, fail)
signal.signal(signal.SIGUSR2, spin)
