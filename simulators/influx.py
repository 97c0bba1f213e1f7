"""A time series database that takes lines at InfluxDB's write endpoint, and can be away or refuse."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Influx:
    """Listens on a free port of 127.0.0.1. lines are those it took; status its answer to a write (204: taken)."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.asked: list[dict[str, str]] = []  # of each write: organization, bucket, token
        self.status = 204
        influx = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                where = urlsplit(self.path)
                if where.path != "/api/v2/write":
                    return self._answer(404)
                asked = {name: values[0] for name, values in parse_qs(where.query).items()}
                influx.asked.append({**asked, "token": self.headers["authorization"]})
                if influx.status == 204:
                    influx.lines += body.decode().splitlines()
                return self._answer(influx.status)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: a test has no use for it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
