"""Finding the meters on a line, whoever they are.

Each protocol is asked for whoever is there; where several answer at once, what arrives is no frame, and the search
goes on as its protocol allows (edge.technician.search). Nobody is believed before it has answered under its own
address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from edge.lines.place import Place, TcpAt
from edge.technician.answers import Protocol
from edge.technician.search import cj188, dlt645, modbus
from edge.technician.search.found import Event, Found, Note
from edge.technician.search.search import Asking, Counter, Search, Wanted

Visit = tuple[Place, tuple[Protocol, ...]]


def visits(
    place: Place,
    *,
    bauds: Sequence[int],
    formats: Sequence[str],
    protocols: Sequence[Protocol],
) -> list[Visit]:
    """Which protocols to look for at which rate and format; a serial server has only its own rate.

    Without formats, that of the line, and for Modbus 8N1 too.
    """
    if isinstance(place.at, TcpAt):
        return [(place, tuple(protocols))]
    found: list[Visit] = []
    for baud in bauds:
        for form in formats or (place.at.format,):
            found.append((place.at_rate(baud, form), tuple(protocols)))
        if not formats and place.at.format != "8N1" and Protocol.MODBUS_RTU in protocols:
            found.append((place.at_rate(baud, "8N1"), (Protocol.MODBUS_RTU,)))
    return found


async def scan(
    visits: Sequence[Visit], open_bus: Callable[[Place], Asking], wanted: Wanted
) -> AsyncIterator[Event]:
    """Everything found at each of the visits, as it is found. Raises LineAway."""
    counter = Counter()
    counter.total = sum(_least(protocol, wanted) for _, asked in visits for protocol in asked)
    for place, protocols in visits:
        bus = open_bus(place)
        try:
            async for event in _at(place, bus, protocols, wanted, counter):
                yield event
        finally:
            bus.close()


def _least(protocol: Protocol, wanted: Wanted) -> int:
    return len(wanted.units) if protocol is Protocol.MODBUS_RTU else 1


async def _at(
    place: Place, bus: Asking, protocols: Sequence[Protocol], wanted: Wanted, counter: Counter
) -> AsyncIterator[Event]:
    babble = await bus.hear(b"", reply_s=wanted.reply_s)
    if babble:
        yield Note(
            "On %(place)s bytes arrive unasked (%(bytes)s…): noise, another master, or a meter that babbles. "
            "What is found here may be incomplete.",
            {"place": place, "bytes": babble[:8].hex(" ").upper()},
        )
    found: set[tuple[Protocol, str]] = set()
    for protocol in protocols:
        looking = {
            Protocol.DLT645_2007: dlt645.look,
            Protocol.DLT645_1997: dlt645.look,
            Protocol.CJT188: cj188.look,
            Protocol.MODBUS_RTU: modbus.look,
        }[protocol]
        async for event in looking(Search(protocol, place, bus, wanted, counter)):
            if isinstance(event, Found):
                is_known = protocol is Protocol.DLT645_1997 and (
                    (Protocol.DLT645_2007, event.address) in found
                )  # meters of 2007 mostly serve the old edition too
                if is_known or (protocol, event.address) in found:
                    continue
                found.add((protocol, event.address))
            yield event
