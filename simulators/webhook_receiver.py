"""A receiver of webhooks on loopback: it checks each signature as Standard Webhooks says, and can misbehave."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOLERANCE_S = 300


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as it came; signatures are the header's, without "v1,"."""

    id: str
    timestamp: int
    signatures: tuple[str, ...]
    path: str
    body: bytes

    @property
    def said(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.body)
        return said

    def is_signed_by(self, secret: str, *, now: float) -> bool:
        """Whether the message is whole, fresh, and signed by whoever has the secret."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.id}.{self.timestamp}.".encode() + self.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        is_fresh = abs(now - self.timestamp) <= TOLERANCE_S
        return is_fresh and any(hmac.compare_digest(expected, each) for each in self.signatures)


@dataclass(slots=True)
class Receiver:
    """Answers each message with the next of `answers`, and with 204 when there is none left."""

    url: str
    heard: list[Heard] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that listens on 127.0.0.1 while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            signatures = self.headers["webhook-signature"].split(" ")
            receiver.heard.append(
                Heard(
                    id=self.headers["webhook-id"],
                    timestamp=int(self.headers["webhook-timestamp"]),
                    signatures=tuple(each.removeprefix("v1,") for each in signatures),
                    path=self.path,
                    body=body,
                )
            )
            self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: what came is in heard."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/events")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
