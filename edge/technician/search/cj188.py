"""Looking for CJ/T 188 meters. The protocol has no abbreviated addresses: who collides is asked by type, and then by
numbers that are known."""

from __future__ import annotations

from collections.abc import AsyncIterator

from edge.technician.answers import split_cj188
from edge.technician.both import Both
from edge.technician.cj188_meters import Cj188
from edge.technician.search.found import Event, Found, Note
from edge.technician.search.search import Search, address_asked, confirm, first_of, two_of
from edge.technician.words import METER_TYPES
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import items as cj188_items
from protocols.cj188 import master as cj188


async def look(search: Search) -> AsyncIterator[Event]:
    for address in search.known(14):
        yield search.counter.asked(address_asked(search, address))
        request = first_of(
            cj188.read(address, cj188_items.CURRENT, meter_type=cj188_frame.ANY_TYPE, serial=0)
        )
        answers, collides = await _hear_cj188(search, request)
        if collides and not answers:
            yield two_of(search, address)
        for answering, meter_type in answers:
            if found := await _confirm_either(search, answering, meter_type):
                yield found
    collided = False
    for meter_type in (cj188_frame.ANY_TYPE, *(t for t in METER_TYPES if t != 0xAA)):
        yield search.counter.asked(
            Note("cjt188: whoever is there, %(type)s", {"type": Both(*METER_TYPES[meter_type])})
        )
        request = first_of(cj188.read_address(meter_type=meter_type))
        answers, collides = await _hear_cj188(search, request)
        if answers and not collides:
            # The address comes once in an answer, so two neighbours can add up to a good frame; what
            # they have counted hardly does.
            request = first_of(
                cj188.read(
                    cj188_frame.WILDCARD, cj188_items.CURRENT, meter_type=meter_type, serial=0
                )
            )
            counted, collides = await _hear_cj188(search, request)
            collides |= len(counted) > 1
        for address, answering_type in answers:
            if found := await _confirm_either(search, address, answering_type):
                yield found
            else:
                collides = True
        if meter_type == cj188_frame.ANY_TYPE:
            if answers and not collides:
                return
            search.counter.total += len(METER_TYPES) - 1
        else:
            collided |= collides
    if collided:
        yield Note(
            "Several CJ/T 188 meters answer at once on %(place)s, and this protocol cannot part them: "
            "give their numbers, or a range of them (--known).",
            {"place": search.place},
        )


async def _hear_cj188(search: Search, request: bytes) -> tuple[list[tuple[str, int]], bool]:
    """Addresses and types that answer, and whether there is more that cannot be read."""
    heard = await search.bus.hear(request, reply_s=search.wanted.reply_s)
    answers = []
    collides = False
    for frame, data in split_cj188(heard):
        if frame is not None and frame.is_reply:
            answers.append((frame.address, frame.type))
        collides |= frame is None and bool(data.strip(b"\xfe"))
    return answers, collides


async def _confirm_either(search: Search, address: str, meter_type: int) -> Found | None:
    """In the order of the identifier that this meter takes."""
    refusal = None
    for high_first in (True, False):
        found = await confirm(search, Cj188(address, meter_type, high_first))
        if found is None or not found.refuses:
            return found or refusal
        refusal = found
    return refusal
