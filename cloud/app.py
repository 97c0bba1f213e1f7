"""The web program: the JSON API, the pages, and what payment channels call."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import cache, partial
from importlib.metadata import version
from types import FrameType

import uvicorn
from fastapi import APIRouter, FastAPI
from sqlalchemy.exc import OperationalError
from starlette.routing import BaseRoute

from cloud import metrics, refusals
from cloud.api import (
    accounts,
    alarms,
    channels,
    credit,
    description,
    devices,
    gateways,
    health,
    money,
    notices,
    overrides,
    people,
    places,
    rooms,
    topups,
)
from cloud.attempts import Attempts
from cloud.channels import configured
from cloud.db import Database, check_role, is_migrated
from cloud.errors import CannotStart, first_line
from cloud.events import Events
from cloud.intake import Intake
from cloud.notices import configured as notices_configured
from cloud.settings import Settings
from cloud.web import OriginCheck
from dashboards.manager import views as manager
from dashboards.tenant import views as tenant

log = logging.getLogger(__name__)


def create_app(settings: Settings) -> FastAPI:
    """The application; it opens its connections when it is first asked for something."""
    database = Database(settings.database_url)
    events = Events(settings.database_url)

    def listening_ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("pages would no longer be told of changes; this program ends", exc_info=error)
            app.state.fail()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        listening = asyncio.create_task(events.run())
        listening.add_done_callback(listening_ended)
        yield
        events.close()
        listening.cancel()
        database.close()

    app = FastAPI(
        title=description.TITLE,
        version=version("wattwell"),
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        routes=_routes(),
    )
    app.openapi = partial(description.describe, app)  # type: ignore[method-assign]
    app.state.settings = settings
    app.state.database = database
    app.state.events = events
    app.state.fail = (
        events.close
    )  # what to do when this program cannot go on; run also ends the server
    app.state.attempts = Attempts()
    app.state.key_attempts = Attempts(within=timedelta(minutes=1))
    app.state.channels = configured.channels(settings)
    app.state.notices = notices_configured.provider(settings)
    app.add_middleware(metrics.Measured)
    app.add_middleware(OriginCheck, public_url=settings.public_url, refuse=refusals.refused)
    app.add_middleware(Intake, refuse=refusals.refused)
    refusals.install(app)
    return app


@cache
def _routes() -> list[BaseRoute]:
    """All routes, built once: what an application has of its own is in its state."""
    routes = APIRouter()
    for module in (
        health,
        notices,
        channels,
        gateways,
        rooms,
        alarms,
        topups,
        credit,
        overrides,
        accounts,
        places,
        devices,
        people,
        money,
        manager,
        tenant,
    ):
        routes.include_router(module.router)
    return routes.routes


def run(settings: Settings) -> None:
    """Serves until told to stop.

    Raises CannotStart if the port is taken, or the database away, empty or open to all; SystemExit if a part
    of the program died.
    """
    listener = _listener(settings)
    try:
        _check_database(settings)
    except CannotStart:
        listener.close()
        raise
    app = create_app(settings)
    metrics.serve(settings, metrics.WEB)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=5
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its start and end are said here
    log.info("serving %s on %s", settings.public_url, settings.listen)
    server = _Server(config, app.state.events)
    app.state.fail = server.fail
    server.run(sockets=[listener])
    log.info("stopped")
    if server.has_failed:
        raise SystemExit("The web program ended because a part of it died; its log says why.")


def _check_database(settings: Settings) -> None:
    database = Database(settings.database_url, connections=1)
    try:
        if not is_migrated(database):
            raise CannotStart(
                f"The database {database.where} is empty, or of another version:"
                " run `wattwell cloud migrate` first."
            )
        check_role(database)
    except OperationalError as error:
        raise CannotStart(
            f"The database does not answer: {first_line(error.orig or error)}. Start it, or mend database_url."
        ) from None
    finally:
        database.close()


class _Server(uvicorn.Server):
    """Ends the open event streams when told to stop, since it waits for them."""

    def __init__(self, config: uvicorn.Config, events: Events) -> None:
        super().__init__(config)
        self._events = events
        self.has_failed = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Being told to stop is a normal end, so the signal is not raised again afterwards."""
        asyncio.get_event_loop().call_soon_threadsafe(self._events.close)
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    def fail(self) -> None:
        """Ends as if told to stop, and is known to have failed."""
        self.has_failed = True
        self._events.close()
        self.should_exit = True


def _listener(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.listen_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen_host, settings.listen_port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"{settings.listen} cannot be listened on: {error.strerror}."
            " End the program that uses the port, or set listen to another."
        ) from None
    return listener
