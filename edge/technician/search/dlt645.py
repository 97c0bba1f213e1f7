"""Looking for DL/T 645 meters. The protocol has abbreviated addresses 缩位寻址: where several answer at once
the search goes on by the last two digits, and behind each pair that still collides by the two before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from edge.lines.bus import NoReply
from edge.technician.answers import Protocol, split_dlt645
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.search.found import Event, Note
from edge.technician.search.search import Search, address_asked, confirm, first_of, two_of
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import master as dlt645
from protocols.dlt645 import master97
from protocols.exchange import ProtocolError

PAIRS = tuple(f"{n:02d}" for n in range(100))
COMMUNICATION_ADDRESS = 0x04000401
METER_NUMBER_1997 = 0xC032
MOST_COLLIDING = 64
"""Pairs of a hundred. On a line that garbles more than that it is not meters that collide."""


Dlt645 = type[Dlt2007] | type[Dlt1997]


async def look(search: Search) -> AsyncIterator[Event]:
    is_old = search.protocol is Protocol.DLT645_1997
    kind: Dlt645 = Dlt1997 if is_old else Dlt2007
    for address in search.known(12):
        yield search.counter.asked(address_asked(search, address))
        answers, collides = await _hear_dlt645(search, _read(search, address))
        if address in answers:
            yield await confirm(search, kind(address)) or two_of(search, address)
        elif collides:
            yield two_of(search, address)
    yield search.counter.asked(
        Note("%(protocol)s: whoever is there", {"protocol": search.protocol.value})
    )
    addresses: list[str] = []
    collides = False
    for request in _whoever(is_old):
        answers, collides = await _hear_dlt645(search, request)
        addresses = await _own_addresses(search, answers) if is_old else answers
        if addresses or collides:
            break
    for address in addresses:
        if found := await confirm(search, kind(address)):
            yield found
        else:
            collides = True
    if collides:
        yield Note(
            "Several DL/T 645 meters answer at once on %(place)s; asking pair by pair.",
            {"place": search.place},
        )
    if collides or search.wanted.by_pairs:
        async for event in _by_pairs(search, kind, ""):
            yield event


def _whoever(is_old: bool) -> Iterable[bytes]:
    """What anybody answers: 13H, and a read for those who do not know it."""
    if is_old:
        yield first_of(master97.read(dlt645_frame.WILDCARD, master97.FORWARD_ACTIVE_ENERGY))
        yield first_of(master97.read(dlt645_frame.BROADCAST, master97.FORWARD_ACTIVE_ENERGY))
    else:
        yield first_of(dlt645.read_address())
        yield first_of(dlt645.read(dlt645_frame.WILDCARD, dlt645.FORWARD_ACTIVE_ENERGY))


def _read(search: Search, address: str) -> bytes:
    """What is asked under an address. The answer has the meter's number twice, once in its data with
    33H added: two answers at the same instant can by bad luck add up to one good frame that has it once."""
    if search.protocol is Protocol.DLT645_1997:
        return first_of(master97.read(address, METER_NUMBER_1997))
    return first_of(dlt645.read(address, COMMUNICATION_ADDRESS))


async def _by_pairs(search: Search, kind: Dlt645, known: str) -> AsyncIterator[Event]:
    """All meters whose address ends in `known`, by the hundred pairs before it."""
    search.counter.total += len(PAIRS)
    colliding = []
    for pair in PAIRS:
        ending = pair + known
        asked = ending.rjust(12, "A")
        yield search.counter.asked(address_asked(search, asked))
        answers, collides = await _hear_dlt645(search, _read(search, asked))
        for address in answers:
            own = address if address.isdecimal() else asked
            is_there = own.isdecimal() and own.endswith(ending)
            if is_there and (found := await confirm(search, kind(own))):
                yield found
            elif is_there and address.isdecimal():
                yield _twice(
                    search, own
                )  # one number, as if one had said it; their registers differ
            else:
                collides = True
        if collides:
            colliding.append(ending)
    if len(colliding) > MOST_COLLIDING:
        yield Note(
            "Nearly every question is answered with garbage on %(place)s: that is noise.",
            {"place": search.place},
        )
        return
    for ending in colliding:
        if len(ending) == 12:
            yield _twice(search, ending)
            continue
        async for event in _by_pairs(search, kind, ending):
            yield event


def _twice(search: Search, address: str) -> Note:
    return Note(
        "Two meters have the address %(address)s on %(place)s.",
        {"address": address, "place": search.place},
    )


async def _hear_dlt645(search: Search, request: bytes) -> tuple[list[str], bool]:
    """The addresses that answer, and whether there is more that cannot be read."""
    heard = await search.bus.hear(request, reply_s=search.wanted.reply_s)
    addresses = []
    for frame, data in split_dlt645(heard):
        if frame is not None and frame.is_reply:
            addresses.append(frame.address)
        elif frame is None and data.strip(b"\xfe"):
            return addresses, True
    return addresses, False


async def _own_addresses(search: Search, answers: list[str]) -> list[str]:
    """Some meters of 1997 repeat the wildcard they were asked by; then their number is read."""
    own = []
    for address in answers:
        if address.isdecimal() and address != dlt645_frame.BROADCAST:
            own.append(address)
            continue
        meter = Dlt1997(dlt645_frame.WILDCARD)
        try:
            (number,) = await search.bus.run(lambda meter=meter: meter.read("C032"), meter.decoder)  # type: ignore[misc]
        except (NoReply, ProtocolError):
            continue
        own.append(str(number.value))
    return own
