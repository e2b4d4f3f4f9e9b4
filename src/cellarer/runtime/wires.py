"""A link that is opened when it can be and opened again when it fails: trouble on a wire never ends a process."""

import time
from collections.abc import Callable, Iterator

from cellarer.board.files import Folder
from cellarer.config.schema import LinkFile
from cellarer.wire.errors import DeviceError
from cellarer.wire.links import Item, Link, open_link

AGAIN_S = 1.0  # between two tries
MOST = 500  # frames taken in one go, so that a flood holds up nobody


class Wire:
    """A bus that may be away."""

    def __init__(self, file: LinkFile, folder: Folder, say: Callable[[str], None]) -> None:
        self.file, self._folder, self._say = file, folder, say
        self._link: Link | None = None
        self._tried_s = -AGAIN_S
        self._said = ""

    def receive(self, timeout_s: float) -> Iterator[tuple[Item, int]]:
        """Yield what has come, with its monotonic time in ns; wait for the first at most timeout_s."""
        for _ in range(MOST):
            link = self._opened()
            if link is None:
                time.sleep(timeout_s)
                return
            try:
                item = link.receive(timeout_s)
            except (DeviceError, OSError) as error:
                self._failed(error)
                return
            if item is None:
                return
            yield item
            timeout_s = 0.0

    def send(self, item: Item) -> None:
        """Send now, or not at all."""
        link = self._opened()
        if link is not None:
            try:
                link.send(item)
            except (DeviceError, OSError) as error:
                self._failed(error)

    def close(self) -> None:
        """Let go of the bus."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def _opened(self) -> Link | None:
        if self._link is None and time.monotonic() - self._tried_s >= AGAIN_S:
            self._tried_s = time.monotonic()
            try:
                self._link = open_link(self.file.url, self._folder.bench)
                self._said = ""
            except (DeviceError, OSError) as error:
                self._failed(error)
        return self._link

    def _failed(self, error: Exception) -> None:
        self.close()
        if str(error) != self._said:
            self._said = str(error)
            self._say(f"{self.file.name} ({self.file.url}): {error}; trying again every {AGAIN_S:g} s")
