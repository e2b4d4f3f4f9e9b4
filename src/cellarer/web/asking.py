"""Requests of this process through the board: put one, wait for its answer."""

import threading
import time
from collections.abc import Mapping

from cellarer.board.messages import Asker

WAIT_s = 2.0
VALID_s = 1.8  # who was told that nobody answered must not see it done afterwards


class Asking:
    """A `requests_writer` for the application. Threads take turns to write and may wait together."""

    def __init__(self, asker: Asker, speed: float = 1.0) -> None:
        """speed: of the site's clock, by which requests expire."""
        self._asker, self._valid_s = asker, VALID_s * speed
        self._guard = threading.Lock()

    def __call__(self, request: Mapping[str, object]) -> dict[str, object]:
        """Put a request and return its answer. Raises TimeoutError when none comes: then the request is void."""
        what, actor, pack, value, unix_s = (request[key] for key in ("what", "actor", "pack", "value", "unix_s"))
        if not (isinstance(pack, int) and isinstance(value, float | None) and isinstance(unix_s, float)):
            raise TypeError(f"no request: {request!r}")
        with self._guard:
            number = self._asker.ask(str(what), str(actor), unix_s, pack=pack, value=value, valid_s=self._valid_s)
        end = time.monotonic() + WAIT_s
        while time.monotonic() < end:
            with self._guard:
                answer = self._asker.answer(number)
            if answer is not None:
                return {"id": answer.id, "accepted": answer.accepted, "text": answer.text}
            time.sleep(0.02)
        raise TimeoutError(f"no answer within {WAIT_s:g} s, control does not run or is starting: ask again")
