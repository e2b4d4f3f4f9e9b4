"""The gate before the application. Pages of other origins, other hosts' names and oversized bodies end here.

The server listens on 127.0.0.1, but any page in a browser on this machine can send requests there, and a name that
somebody points at 127.0.0.1 (DNS rebinding) makes the browser believe that the answers are its own. So: the Host must
be ours, an Origin must be the same host, writes must be JSON (which a foreign page cannot send without asking first),
and no CORS header is ever sent.
"""

import hmac
import json
import time
from collections import deque
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 4096
LOCAL = ("127.0.0.1", "localhost", "::1")
READS = ("GET", "HEAD")

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        b"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


class Gate:
    """Lets pass what may reach the application, and puts the security headers on every answer."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset((*LOCAL, *(host.lower() for host in hosts)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, pass on the rest. The body is read here, so that nothing behind sees a large one."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":  # there is none; closing before accepting answers 403
                await send({"type": "websocket.close", "code": 1008})
            elif scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        dressed = _dressed(scope, send)
        if refusal := self._refusal(scope):
            return await _answer(dressed, *refusal)
        if scope["method"] in READS:
            return await self._app(scope, receive, dressed)
        body = await _body(receive)
        if body is None:
            return await _answer(dressed, 413, f"the body is too large, at most {BODY_BYTES} bytes are allowed")
        await self._app(scope, _once(body, receive), dressed)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._hosts:
            return 421, "this server is known by another name: open it as http://127.0.0.1:PORT"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
            return 403, "requests from pages of another origin are refused"
        if origin is None and headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return 403, "requests from pages of another origin are refused"
        if scope["method"] in READS:
            return None
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return 415, "send application/json"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > BODY_BYTES:
            return 413, f"the body is too large, at most {BODY_BYTES} bytes are allowed"
        return None


class Token:
    """The one password of the site. Wrong ones are counted, and too many close the door for a while."""

    TRIES, WINDOW_s = 8, 60.0

    def __init__(self, token: str) -> None:
        if len(token) < 16:
            raise ValueError("the token for writing must have 16 characters or more: use secrets.token_urlsafe()")
        self._token = token.encode()
        self._wrong: deque[float] = deque(maxlen=self.TRIES)

    def refusal(self, authorization: str | None) -> tuple[int, str] | None:
        """Return status and text when an Authorization header does not open the door."""
        now = time.monotonic()
        if len(self._wrong) == self.TRIES and now - self._wrong[0] < self.WINDOW_s:
            return 429, f"too many wrong tokens: wait {self.WINDOW_s:.0f} s. Opening needs no token"
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            return 401, "this needs the site's token: Authorization: Bearer TOKEN"
        if not hmac.compare_digest(given.strip().encode(), self._token):
            self._wrong.append(now)
            return 401, "wrong token"
        return None


def _name(host: str) -> str | None:
    """Return the host name without port; None for what is no host."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _dressed(scope: Scope, send: Send) -> Send:
    """Return a send that adds the headers; what the API says is never stored."""
    cache = b"no-cache" if not scope["path"].startswith("/api/") else b"no-store"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), *HEADERS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", cache))
            message = {**message, "headers": headers}
        await send(message)

    return sending


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body; None when it is too large, whatever its header said."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if size > BODY_BYTES:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a receive that gives a body that was already read."""
    waiting = [body]

    async def receiving() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return receiving


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
