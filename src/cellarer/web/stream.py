"""Server-sent events: the newest state at least twice a second, and every new event.

All followers share one pump, which runs only while somebody follows: the state is read and serialised once, whoever
comes late gets the newest. A follower is never queued for: one that cannot take a message within SLOW_s is dropped and
comes back by itself, with Last-Event-ID, so that it misses no event.

id of a message: CYCLE.EVENT, the cycle of its state and the number of the newest event that was sent.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from anyio import to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PERIOD_s = 0.4
SLOW_s = 5.0
FOLLOWERS = 32
CATCH_UP = 500  # events sent at most after a reconnection

State = Callable[[], tuple[int, bytes]]  # cycle and JSON
News = Callable[[int | None], list[dict[str, object]]]  # events after a number, oldest first; None: just the newest


class Feed:
    """One pump, many followers."""

    def __init__(self, state: State, news: News) -> None:
        self._state, self._news = state, news
        self._changed = asyncio.Condition()
        self._pump: asyncio.Task[None] | None = None
        self._followers = 0
        self._tick = 0
        self._cycle, self._body = 0, b""
        self._newest = 0  # number of the newest event known
        self.closing = False  # set to end the stream of every follower

    @property
    def full(self) -> bool:
        """No further follower is taken."""
        return self._followers >= FOLLOWERS

    async def follow(self, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """Yield messages until closed; `last_id` is what the follower saw last."""
        self._followers += 1
        try:
            if self._pump is None or self._pump.done():
                self._pump = asyncio.create_task(self._run())
            seen, tick = _event_of(last_id), 0
            yield b"retry: 1000\n\n"
            while True:
                async with self._changed:
                    while self._tick == tick:
                        if self._pump.done():
                            self._pump.result()  # what broke the pump is told to whoever follows
                            return
                        await self._changed.wait()
                    tick, cycle, body, newest = self._tick, self._cycle, self._body, self._newest
                if seen is None:
                    seen = newest
                if newest > seen:
                    for event in reversed(await to_thread.run_sync(self._news, seen)):
                        seen = int(str(event["seq"]))
                        yield _message("event", f"{cycle}.{seen}", json.dumps(event).encode())
                yield _message("state", f"{cycle}.{seen}", body)
        finally:
            self._followers -= 1

    async def _run(self) -> None:
        """Read and serialise for all, while anybody follows."""
        try:
            while self._followers and not self.closing:
                cycle, body = await to_thread.run_sync(self._state)
                newest = await to_thread.run_sync(self._news, None)
                async with self._changed:
                    self._cycle, self._body = cycle, body
                    self._newest = int(str(newest[0]["seq"])) if newest else 0
                    self._tick += 1
                    self._changed.notify_all()
                await asyncio.sleep(PERIOD_s)
        finally:
            async with self._changed:
                self._changed.notify_all()


class EventStream(Response):
    """Sends messages as they come; a follower that does not take them, or that left, ends it."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the follower leaves."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            sending.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):
                await sending

    async def _send(self, send: Send) -> None:
        async with aclosing(self._messages) as messages:
            async for message in messages:
                part = {"type": "http.response.body", "body": message, "more_body": True}
                await asyncio.wait_for(send(part), SLOW_s)
        await send({"type": "http.response.body", "body": b""})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _message(kind: str, identity: str, data: bytes) -> bytes:
    return f"id: {identity}\nevent: {kind}\ndata: ".encode() + data + b"\n\n"


def _event_of(last_id: str | None) -> int | None:
    """Return the event number in a Last-Event-ID; None when there is none to go on from."""
    number = (last_id or "").rpartition(".")[2]
    return int(number) if number.isdecimal() and len(number) < 16 else None
