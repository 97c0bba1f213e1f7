"""What of the page the settings ask for, served until the program ends."""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys

from edge.field.room import MeterRoom
from edge.field.status import Link
from edge.page.app import create_api, create_page
from edge.page.desk import Desk
from edge.page.logbook import Logbook
from edge.page.pin import Pin, pin_beside
from edge.page.server import certificate_beside, forget, listen, listen_beside, serve, socket_beside
from edge.page.session import Sessions
from edge.settings import PageSettings, Settings

log = logging.getLogger(__name__)


async def page(settings: Settings, room: MeterRoom, link: Link, logbook: Logbook) -> None:
    """The socket for the command line always; the page where it is set. Until cancelled."""
    beside = socket_beside(settings.ledger)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(room.keep_bounds())
            if (listening := listen_beside(beside)) is not None:
                group.create_task(serve(create_api(Desk(room, link, logbook)), listening))
            if settings.page is not None:
                group.create_task(_for_technicians(settings, settings.page, room, link, logbook))
    finally:
        forget(beside)


async def _for_technicians(
    settings: Settings, wanted: PageSettings, room: MeterRoom, link: Link, logbook: Logbook
) -> None:
    listening = listen(wanted.host, wanted.port)
    if listening is None:
        return
    keys = None
    if wanted.is_https:
        keys = certificate_beside(settings.ledger)
        if not all(file.exists() for file in keys):
            making = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "edge.page.certificate"),
                *(str(settings.ledger), settings.gateway_no),
            )
            if await making.wait() != 0:
                log.error("the page is not served, as its certificate %s cannot be made", keys[0])
                listening.close()
                return
    tick = asyncio.get_running_loop().time
    pin = Pin(pin_beside(settings.ledger), tick)
    if not pin.is_set():
        log.warning("the page lets nobody in: set its PIN with `wattwell edge pin`")
    desk = Desk(
        room,
        link,
        logbook,
        pin,
        Sessions(tick),
        is_https=wanted.is_https,
        code_key=settings.code_key,
    )
    try:
        await serve(create_page(desk), listening, certificate=keys)
    except ssl.SSLError as error:
        log.error("the page is not served: its certificate %s cannot be used: %s", keys, error)
