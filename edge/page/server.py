"""Serves the page and the socket in the gateway's own event loop. Metering comes first: it goes on without them."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

log = logging.getLogger(__name__)
logging.getLogger("uvicorn.error").setLevel(logging.WARNING)

MOST_CONNECTIONS = 64
KEEP_ALIVE_S = 10
CLOSE_S = 2


def socket_beside(ledger: Path) -> Path:
    return ledger.with_name("gateway.sock")


def certificate_beside(ledger: Path) -> tuple[Path, Path]:
    """That of the page, and its key."""
    return ledger.with_name("page.crt"), ledger.with_name("page.key")


async def serve(
    app: ASGIApp, listening: socket.socket, *, certificate: tuple[Path, Path] | None = None
) -> None:
    """Until cancelled; certificate and its key where the page is to be https."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_S,
        ssl_certfile=certificate[0] if certificate else None,
        ssl_keyfile=certificate[1] if certificate else None,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """They are the gateway's."""
        yield


def listen(host: str, port: int) -> socket.socket | None:
    """Where the page is to be served; None, with a word in the log, where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(MOST_CONNECTIONS)
    except OSError as error:
        listening.close()
        log.error("the page cannot be served at %s:%s: %s", host, port, error.strerror)
        return None
    log.info("the page is served at %s:%s", host, listening.getsockname()[1])
    return listening


def listen_beside(path: Path) -> socket.socket | None:
    """A socket for the user of the ledger alone; None, with a word in the log, where that cannot be.

    What is there is left from before: only who holds the ledger's lock gets here.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        listening.listen(MOST_CONNECTIONS)
    except OSError as error:
        listening.close()
        log.warning("`wattwell edge status` cannot ask this gateway: %s: %s", path, error)
        return None
    return listening


def forget(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
