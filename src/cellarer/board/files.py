"""Files that are whole or absent, and the run folder of a site. Everything is readable by its owner only."""

import hashlib
import os
import stat
from pathlib import Path


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file so that a reader, or a start after power loss, finds the old or the new one, never a part.

    sync   wait until the disk has it, file and folder entry; not needed for files in memory
    """
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    if sync:
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Folder:
    """The run folder of a site: names of all board files, one place for each.

    It lies in memory where the machine has a memory file system, because mapped files on flash would be written back
    every few seconds for years; `state_dir/run` points to it. Nothing in it must survive a power loss.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.snapshot = path / "snapshot"
        self.seconds = path / "seconds"  # control → services: one snapshot a second
        self.wish = path / "wish"  # control → guard
        self.gate = path / "gate"  # guard → links
        self.guard_status = path / "guard"
        self.events_id = path / "events.id"
        self.requests = path / "requests"
        self.answers = path / "answers"
        self.durable = path / "durable"  # control → services
        self.plans = path / "plans"  # services → control
        self.durable_kept = path / "durable.kept"
        self.cycles = path / "cycles"  # control → services: board/inputs.py
        self.changes = path / "changes"
        self.states = path / "states"
        self.config = path / "config"
        self.guard_limits = path / "guard.json"
        self.site = path / "site.json"
        self.lock = path / "lock"
        self.inject = path / "inject"  # anybody → simulated world: faults that shall happen
        self.bench = path / "bench"

    def events(self, source: str) -> Path:
        """Return the ring of events that a process writes."""
        return self.path / f"events.{source}"

    def events_kept(self, source: str) -> Path:
        """Return where the recorder says how many events of that process are on the disk."""
        return self.path / f"events.{source}.kept"

    def samples(self, link: str) -> Path:
        """Return the sample ring of a link; link names may hold spaces and dots."""
        return self.path / f"samples.{link.replace(' ', '_')}"

    def heard(self, link: str) -> Path:
        """Return the ring in which a link says what came in from its devices, good and refused."""
        return self.path / f"heard.{link.replace(' ', '_')}"

    def all_heard(self) -> dict[str, Path]:
        """Return these rings by their links, as file names have them."""
        return {path.name.removeprefix("heard."): path for path in sorted(self.path.glob("heard.*"))}

    def pulse(self, role: str) -> Path:
        """Return the file in which a process says that it is alive."""
        return self.path / f"pulse.{role.replace(' ', '_')}"

    def remove(self) -> None:
        """Give the memory back. Only when nobody uses the folder and every event is kept."""
        target = self.path.resolve()
        for file in sorted(target.glob("**/*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        target.rmdir()
        if self.path.is_symlink():
            self.path.unlink()

    @classmethod
    def of(cls, state_dir: Path) -> "Folder":
        """Return the folder of a site that runs, or ran, with this state folder."""
        return cls(state_dir / "run")

    @classmethod
    def make(cls, state_dir: Path, memory: Path = Path("/dev/shm")) -> "Folder":
        """Make the folder, in memory if the machine can, and let `state_dir/run` point to it."""
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        link = state_dir / "run"
        if link.is_dir() and not link.is_symlink():
            return cls(link)  # an earlier run on a machine without memory file system
        if not (memory.is_dir() and os.access(memory, os.W_OK)):
            link.unlink(missing_ok=True)
            link.mkdir(mode=0o700)
            return cls(link)
        name = hashlib.sha256(os.fsencode(state_dir.resolve())).hexdigest()[:12]
        target = memory / f"cellarer-{os.getuid()}-{name}"
        target.mkdir(mode=0o700, exist_ok=True)
        found = target.lstat()  # not through a link that somebody else may have put there
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(f"{target} is no folder of ours alone: remove it")
        if not (link.is_symlink() and link.readlink() == target):
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return cls(link)
