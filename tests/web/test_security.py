"""What a hostile page, a wrong name or a large body can reach: nothing."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from tests.web.fake import TOKEN, Site

from cellarer.web import create, listen, security, server

KEY = {"Authorization": f"Bearer {TOKEN}"}
CLOSE = {"what": "close"}


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def client(site: Site) -> TestClient:
    app = create(
        lambda: (site.view(time.time()), 0.0), None, site.ask, {"packs": site.names}, TOKEN, hosts=["cellar.lan"]
    )
    return TestClient(app, base_url="http://127.0.0.1:8080")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8080", "localhost:1", "[::1]:8080", "LOCALHOST", "cellar.lan:80"]
)
def test_our_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/api/v1/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", "", "[::1", "127.0.0.1@evil.example"]
)
@pytest.mark.parametrize(
    "path", ["/", "/api/v1/state", "/api/v1/stream", "/metrics", "/static/app.js", "/openapi.json"]
)
def test_other_names_are_refused(client: TestClient, host: str, path: str) -> None:
    assert client.get(path, headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1", "null", "file://"]
)
@pytest.mark.parametrize("what", ["open", "close"])
def test_pages_of_other_origins_are_refused(client: TestClient, site: Site, origin: str, what: str) -> None:
    answer = client.post("/api/v1/requests", json={"what": what}, headers={"Origin": origin, **KEY})
    assert answer.status_code == 403
    assert client.get("/api/v1/state", headers={"Origin": origin}).status_code == 403
    assert site.asked == []


def test_cross_site_fetches_without_an_origin_are_refused(client: TestClient) -> None:
    assert client.get("/api/v1/state", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/api/v1/state", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_the_own_page_may_ask(client: TestClient) -> None:
    headers = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/api/v1/requests", json={"what": "open"}, headers=headers).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_can_send_is_refused(client: TestClient, site: Site, kind: str) -> None:
    answer = client.post("/api/v1/requests", content=b'{"what":"open"}', headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert site.asked == []


def test_nothing_is_shared_with_other_origins(client: TestClient) -> None:
    answers = [
        client.get("/api/v1/state"),
        client.options(
            "/api/v1/requests", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
        ),
    ]
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]
    assert answers[1].status_code >= 400


@pytest.mark.parametrize("path", ["/", "/api/v1/state", "/nowhere", "/static/index.html"])
def test_every_answer_is_dressed(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == ("no-store" if path.startswith("/api") else "no-cache")


@pytest.mark.parametrize("what", ["close", "reset", "service", "zero_current", "confirm"])
@pytest.mark.parametrize(
    "key", [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN]
)
def test_everything_but_opening_needs_the_token(client: TestClient, site: Site, what: str, key: str | None) -> None:
    headers = {} if key is None else {"Authorization": key}
    assert client.post("/api/v1/requests", json={"what": what}, headers=headers).status_code == 401
    assert site.asked == []


def test_the_right_token_opens_the_door(client: TestClient, site: Site) -> None:
    assert client.post("/api/v1/requests", json=CLOSE, headers=KEY).status_code == 200
    assert [request["what"] for request in site.asked] == ["close"]


def test_guessing_is_slowed_down_and_opening_is_not(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(key: str) -> int:
        return client.post("/api/v1/requests", json=CLOSE, headers={"Authorization": f"Bearer {key}"}).status_code

    assert {ask(f"guess {i}") for i in range(security.Token.TRIES)} == {401}
    assert ask(TOKEN) == 429
    assert client.post("/api/v1/requests", json={"what": "open"}).status_code == 200
    monkeypatch.setattr(security.Token, "WINDOW_s", 0.0)
    assert ask(TOKEN) == 200


def test_a_short_token_is_refused_at_the_start(site: Site) -> None:
    with pytest.raises(ValueError, match="16 characters"):
        create(lambda: (None, 0.0), None, site.ask, {"packs": ["a"]}, "secret")


@pytest.mark.parametrize("packs", [None, [], [1], "house"])
def test_a_site_without_packs_is_refused_at_the_start(site: Site, packs: object) -> None:
    with pytest.raises(ValueError, match="packs"):
        create(lambda: (None, 0.0), None, site.ask, {"packs": packs}, TOKEN)


def test_large_bodies_are_refused(client: TestClient, site: Site) -> None:
    large = b'{"what":"open","pack":"' + b"x" * security.BODY_BYTES + b'"}'
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/v1/requests", content=large, headers=headers).status_code == 413
    parts = (large[i : i + 1000] for i in range(0, len(large), 1000))  # chunked: no length is announced
    assert client.post("/api/v1/requests", content=parts, headers=headers).status_code == 413
    assert site.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 3000, b'{"what":"open","what":NaN}', b"null"])
def test_what_is_no_json_is_refused(client: TestClient, site: Site, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert client.post("/api/v1/requests", content=body, headers=headers).status_code in (400, 422)
    assert site.asked == []


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/docs", "/redoc"]
)
def test_nothing_else_is_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_refused(client: TestClient, method: str) -> None:
    assert client.request(method, "/api/v1/requests", json=CLOSE, headers=KEY).status_code == 405


@contextlib.contextmanager
def running(site: Site) -> Iterator[int]:
    """Serve a site as the product does, and yield its port."""
    app = create(lambda: (site.view(time.time()), 0.0), None, site.ask, {"packs": site.names}, TOKEN)
    bound = listen()
    made = server(app)
    thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        yield bound.getsockname()[1]
    finally:
        made.should_exit = True
        thread.join(10)
        bound.close()
    assert not thread.is_alive()


def answered(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(request)
        return connection.recv(200)


def test_the_server_listens_on_loop_back_only_and_stops_while_somebody_follows(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with running(site) as port:
        assert answered(port, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert answered(port, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")
        assert answered(port, b"GET / HTTP/1.1\r\nHost: a\r\nHost: 127.0.0.1\r\n\r\n").startswith(b"HTTP/1.1 4")
        with pytest.raises(OSError, match="taken"):
            listen(port)
        outside = socket.gethostbyname(socket.gethostname())
        if not outside.startswith("127."):
            with pytest.raises(OSError):
                socket.create_connection((outside, port), timeout=1)
        follower = socket.create_connection(("127.0.0.1", port), timeout=5)
        follower.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        seen = b""
        while b"event: state" not in seen:
            seen += follower.recv(65536)
        assert seen.startswith(b"HTTP/1.1 200")
    while more := follower.recv(65536):
        seen += more
    follower.close()
    assert seen.endswith(b"0\r\n\r\n"), "the last chunk: the stream ended, it did not break"
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []
