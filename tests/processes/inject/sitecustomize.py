"""Put on the path of a site that is to be disturbed. Signals make a process fail where it stands, or its clock jump.

The file that CELLARER_TEST_DISK names says how the disk is: `full`, `read-only`, `no flush` (fsync fails) or `slow`
(fsync takes SLOW_S); absent or empty, it is well. Memory file systems and the database file of SQLite's readers are
left alone; SQLite's writer meets the same at its own write points.
"""

import errno
import os
import signal
import sqlite3
import stat
import time

SLOW_S = 6.0
MEMORY = ("/dev/", "/proc/")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def fail(number: int, frame: object) -> None:
    raise RuntimeError("disturbed: an exception at a random moment")


def spin(number: int, frame: object) -> None:
    while True:
        pass


def jump(number: int, frame: object) -> None:
    """Set the wall clock of this process forward or back by ten years."""
    years = 10 if number == signal.SIGRTMIN else -10
    before = time.time

    def later() -> float:
        return before() + years * 365.25 * 86400.0

    time.time = later


signal.signal(signal.SIGUSR1, fail)
signal.signal(signal.SIGUSR2, spin)
signal.signal(signal.SIGRTMIN, jump)
signal.signal(signal.SIGRTMIN + 1, jump)


def disk() -> str:
    """Return how the disk is now."""
    try:
        with open(os.environ["CELLARER_TEST_DISK"]) as file:
            return file.read().strip()
    except (KeyError, FileNotFoundError):
        return ""


def on_disk(what: object) -> bool:
    """Tell whether a path or descriptor is a file, or will be one, on a disk."""
    if isinstance(what, int):
        return stat.S_ISREG(os.fstat(what).st_mode) and not os.readlink(f"/proc/self/fd/{what}").startswith(MEMORY)
    return not os.path.realpath(os.fsdecode(what)).startswith(MEMORY)


def refuse(modes: dict[str, int], what: object) -> None:
    """Raise what a disk in one of these states says."""
    if (mode := disk()) in modes and on_disk(what):
        raise OSError(modes[mode], os.strerror(modes[mode]))


def guarded(name: str, modes: dict[str, int], only: object = None) -> None:
    """Let a function of `os` fail while the disk is in one of these states."""
    real = getattr(os, name)

    def function(what: object, *more: object, **named: object) -> object:
        if only is None or only(*more):
            refuse(modes, what)
        return real(what, *more, **named)

    setattr(os, name, function)


def flushing(name: str) -> None:
    """Let fsync fail, or take its time."""
    real = getattr(os, name)

    def function(fd: int) -> None:
        refuse({"no flush": errno.EIO}, fd)
        if disk() == "slow" and on_disk(fd):
            time.sleep(SLOW_S)
        real(fd)

    setattr(os, name, function)


SQLITE = {
    "full": (("INSERT", "COMMIT"), "database or disk is full", sqlite3.SQLITE_FULL),
    "read-only": (("BEGIN", "INSERT", "COMMIT"), "attempt to write a readonly database", sqlite3.SQLITE_READONLY),
    "no flush": (("COMMIT",), "disk I/O error", sqlite3.SQLITE_IOERR_FSYNC),
}


class Disturbed(sqlite3.Connection):
    """A connection on such a disk."""

    def execute(self, statement: str, *more: object) -> sqlite3.Cursor:
        words, text, code = SQLITE.get(mode := disk(), ((), "", 0))
        if statement.startswith(words) and words:
            error = sqlite3.OperationalError(text)
            error.sqlite_errorcode = code
            raise error
        if mode == "slow" and statement == "COMMIT":
            time.sleep(SLOW_S)
        return super().execute(statement, *more)


connect = sqlite3.connect
NO_ROOM, NO_WRITING = {"full": errno.ENOSPC}, {"read-only": errno.EROFS}
if "CELLARER_TEST_DISK" in os.environ:
    sqlite3.connect = lambda *more, **named: connect(*more, **{"factory": Disturbed} | named)
    guarded("write", NO_ROOM | NO_WRITING)
    guarded("open", NO_WRITING, lambda flags, *_: flags & WRITES)
    guarded("rename", NO_WRITING)
    guarded("ftruncate", NO_WRITING)
    flushing("fsync")
    flushing("fdatasync")
