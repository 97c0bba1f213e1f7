"""Looking for Modbus devices: units are asked one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge.technician.answers import Protocol
from edge.technician.both import Both, beside, plain
from edge.technician.search.found import Event, Found, Note
from edge.technician.search.search import Search, first_of
from edge.technician.words import ERRORS
from protocols.modbus import frame as modbus_frame
from protocols.modbus import master as modbus


async def look(search: Search) -> AsyncIterator[Event]:
    for unit in search.wanted.units:
        yield search.counter.asked(Note("Modbus unit %(unit)s", {"unit": unit}))
        request = first_of(modbus.read_holding(unit, address=0, count=1))
        heard = await search.bus.hear(request, reply_s=search.wanted.units_s)
        answers = modbus_frame.ReplyDecoder(request, echoes=False).feed(heard)
        if answers:
            said = Both("answers", "有应答")
            if answers[0].is_exception:
                code = answers[0].data[0]
                if code in modbus.NOBODY_THERE:
                    continue
                said += plain(": ") + beside(modbus.EXCEPTIONS.get(code, "unknown"), ERRORS)
            yield Found(Protocol.MODBUS_RTU, str(unit), search.place, said)
        elif heard.removeprefix(request):
            yield Note(
                "Something answers for Modbus unit %(unit)s on %(place)s, but it cannot be read: two devices "
                "of one number, or another rate or parity.",
                {"unit": unit, "place": search.place},
            )
