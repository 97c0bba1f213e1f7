"""A gateway's page over a meter room in memory: in one program with the test, or behind a port of its own."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import httpx
from starlette.types import ASGIApp

from edge.page import pin as pins
from edge.page.app import create_api, create_page
from edge.page.desk import Desk
from edge.page.logbook import Logbook
from edge.page.pin import Pin
from edge.page.server import listen, serve
from edge.page.session import COOKIE, Sessions
from prepaid.point import Restore, ServicePoint
from tests.edge.field.rooms import FieldRoom
from tests.edge.simulated import ELECTRICITY, WATER, WATER_PURSE, ElectricityMeter
from tests.slow import slowed

PIN = "274915"
DIRECT = replace(ELECTRICITY, policy=replace(ELECTRICITY.policy, restore=Restore.DIRECT))


class Link:
    """To a broker that is away, or not."""

    is_up = False
    is_refused = False


class Browser(httpx.AsyncClient):
    """What a technician's browser does: it keeps cookies, and sends back the form it was given."""

    async def submit(self, at: str, to: str, **fields: str | list[str]) -> httpx.Response:
        """Fills in the form on one page that goes to another."""
        shown = await self.get(at)
        token = re.search(r'name="form" value="([^"]+)"', shown.text)
        assert token is not None, shown.text
        return await self.post(to, data={"form": token[1], **fields})


def browser(app: ASGIApp, **headers: str) -> Browser:
    return Browser(
        transport=httpx.ASGITransport(app),
        base_url="http://gateway",
        headers={"accept-language": "en", **headers},
    )


def desk_of(at: FieldRoom, folder: Path, *, code_key: bytes | None = None) -> Desk:
    tick = asyncio.get_running_loop().time
    pin = Pin(folder / "page.pin", tick)
    return Desk(at.room, Link(), Logbook(), pin, Sessions(tick), code_key=code_key)


def signed_in(
    at: FieldRoom, folder: Path, name: str = "李工", *, code_key: bytes | None = None
) -> Browser:
    """The page as who has given the PIN sees it."""
    desk = desk_of(at, folder, code_key=code_key)
    assert desk.sessions is not None
    seen = browser(create_page(desk))
    seen.cookies.set(COOKIE, desk.sessions.open(name))
    return seen


def command_line(at: FieldRoom, folder: Path) -> Browser:
    return browser(create_api(desk_of(at, folder)))


@dataclass(slots=True)
class Served:
    """A page at an address; meters are those on its line."""

    url: str
    at: FieldRoom
    loop: asyncio.AbstractEventLoop

    def call(self, what: object) -> None:
        """In the gateway's own loop."""
        self.loop.call_soon_threadsafe(what)  # type: ignore[arg-type]


def house(folder: Path, count: int = 6) -> FieldRoom:
    """A line with rooms, one of which waits for its meter, and a meter that is nobody's."""
    points: list[ServicePoint] = [DIRECT, WATER]
    for number in range(2, count):
        address = f"2023104501{number:02}"
        points.append(
            replace(
                DIRECT,
                id=UUID(int=100 + number),
                name=f"03{number:02} 电",
                meter=replace(DIRECT.meter, meter_no=address, address=address),
            )
        )
    lost = replace(
        DIRECT,
        id=UUID(int=99),
        name="0399 电",
        meter=replace(DIRECT.meter, meter_no="202310450199", address="000000000001"),
    )
    at = FieldRoom(folder, [*points, lost])
    # Enough for two minutes of the fast physics, so that the line has slack.
    at.credit("5000.00")
    at.credit("5000.00", purse=WATER_PURSE, cause="sandbox:3")
    for number in (*range(2, count), 99):
        at.wire.meters.append(ElectricityMeter(f"2023104501{number:02}", f"{number}.00"))
    return at


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """The page behind a port on this machine, in a thread and a loop of its own; the PIN is PIN."""
    pins.save(folder / "page.pin", PIN)
    ready: list[Served] = []
    is_ready, is_over = threading.Event(), threading.Event()

    async def run() -> None:
        at = house(folder)
        listening = listen("127.0.0.1", 0)
        assert listening is not None
        port = listening.getsockname()[1]
        tasks = [
            asyncio.create_task(at.agent.run()),
            asyncio.create_task(serve(slowed(create_page(desk_of(at, folder))), listening)),
        ]
        ready.append(Served(f"http://127.0.0.1:{port}", at, asyncio.get_running_loop()))
        is_ready.set()
        await asyncio.to_thread(is_over.wait)
        await at.room.jobs.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        at.store.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert is_ready.wait(20)
        yield ready[0]
    finally:
        is_over.set()
        thread.join(20)
