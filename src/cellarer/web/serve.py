"""The web server as this site runs it: loop-back only, few connections, short patience."""

import socket

import uvicorn
from fastapi import FastAPI

HOST = "127.0.0.1"
CONNECTIONS = 100
LEAVE_s = 2  # who still asks is cut off this long after the order to stop


def listen(port: int = 0) -> socket.socket:
    """Return a socket that listens on the loop-back interface; port 0 takes a free one. Raises OSError."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen(128)
    except OSError as error:
        bound.close()
        raise OSError(f"port {port} of {HOST} is taken: stop who uses it, or choose another one") from error
    return bound


class Server(uvicorn.Server):
    """Lets who follows the stream go before it waits for the rest."""

    def __init__(self, app: FastAPI, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._feed = app.state.feed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, end the streams, wait a little for the others."""
        self._feed.closing = True
        await super().shutdown(sockets)


def server(app: FastAPI) -> Server:
    """Return a server for `serve(sockets=[listen(port)])`; set its `should_exit` to stop it."""
    return Server(
        app,
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=LEAVE_s,
            h11_max_incomplete_event_size=16 * 1024,
            http="h11",
            ws="none",
            lifespan="off",
        ),
    )
