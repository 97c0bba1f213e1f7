"""Figures of a running program for Prometheus: counts and times, of no person and no room.

Served on an address of its own (metrics_listen in cloud.toml): the web program there, a worker on the next port, the
scheduler on the one after.
"""

from __future__ import annotations

import logging
import time

from prometheus_client import Counter, Gauge, Histogram, start_http_server
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.settings import Settings

log = logging.getLogger(__name__)

WEB, WORKER, SCHEDULER = range(3)

REQUESTS = Counter(
    "wattwell_http_requests_total", "Requests answered.", ["method", "route", "status"]
)
REQUEST_SECONDS = Histogram(
    "wattwell_http_request_seconds",
    "How long an answer took to begin.",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
MESSAGES = Counter("wattwell_gateway_messages_total", "Messages of gateways.", ["result"])
ENTRIES = Counter("wattwell_gateway_entries_total", "Log entries in messages that were taken.")
MESSAGE_SECONDS = Histogram(
    "wattwell_gateway_message_seconds", "From a message's turn to the commit of what it brought."
)
WAITING = Gauge("wattwell_gateway_messages_waiting", "Messages that wait for their turn.")
SENT = Counter("wattwell_gateway_answers_total", "Messages sent to gateways.")
LEADS = Gauge("wattwell_scheduler_leads", "1 while this scheduler leads.")
JOBS = Counter("wattwell_job_runs_total", "Runs of jobs.", ["job", "result"])
JOB_SECONDS = Histogram(
    "wattwell_job_seconds",
    "How long jobs take.",
    ["job"],
    buckets=(0.01, 0.1, 1, 10, 60, 600, 3600),
)


def serve(settings: Settings, program: int) -> None:
    """Begins to serve, if an address is set. A port that is taken is told of; the program goes on without."""
    if settings.metrics_listen is None:
        return
    host, _, port = settings.metrics_listen.rpartition(":")
    try:
        start_http_server(int(port) + program, host.strip("[]"))
    except OSError as error:
        log.warning("metrics are not served on port %s: %s", int(port) + program, error.strerror)
    else:
        log.info("metrics on %s:%s", host, int(port) + program)


class Measured:
    """Counts and times each request by its route's template, in which stands nobody's token or id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(getattr(scope.get("route"), "path", "none"))
                REQUESTS.labels(scope["method"], route, message["status"]).inc()
                REQUEST_SECONDS.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, answered)
