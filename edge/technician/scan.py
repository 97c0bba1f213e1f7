"""Finding the meters on a line, whoever they are.

Each protocol is asked for whoever is there; where several answer at once, what arrives is no frame.
DL/T 645 has abbreviated addresses 缩位寻址, so there the search goes on by the last two digits, and
behind each pair that still collides by the two before. CJ/T 188 has none: colliding meters are asked by
type, and then by numbers that are known. Modbus units are asked one after the other. Nobody is believed
before it has answered under its own address.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from typing import Protocol as Shape

from edge.lines.bus import REPLY_S, Decoders, NoReply
from edge.lines.place import Place, SerialAt, TcpAt
from edge.technician.answers import Protocol, split_cj188, split_dlt645
from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.words import METER_TYPES
from protocols.cj188 import frame as cj188_frame
from protocols.cj188 import items as cj188_items
from protocols.cj188 import master as cj188
from protocols.dlt645 import frame as dlt645_frame
from protocols.dlt645 import master as dlt645
from protocols.dlt645 import master97
from protocols.exchange import Exchange, ProtocolError, Refused
from protocols.modbus import frame as modbus_frame
from protocols.modbus import master as modbus

PAIRS = tuple(f"{n:02d}" for n in range(100))
COMMUNICATION_ADDRESS = 0x04000401
METER_NUMBER_1997 = 0xC032
MOST_COLLIDING = 64
"""Pairs of a hundred. On a line that garbles more than that it is not meters that collide."""


@dataclass(frozen=True, slots=True)
class Found:
    """A meter that has answered under its own address. `said` is what it says of itself, `settings` what a
    driver must know to ask it."""

    protocol: Protocol
    address: str
    place: Place
    said: str
    refuses: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def as_object(self) -> dict[str, object]:
        """For JSON: what a person is shown of it. format is None where the line is no serial device."""
        at = self.place.at
        return {
            "protocol": self.protocol.value,
            "address": self.address,
            "baud": at.baud,
            "format": at.format if isinstance(at, SerialAt) else None,
            "said": self.said,
        }


@dataclass(frozen=True, slots=True)
class Note:
    """A message with %(name)s for each of values: something to know about the line, or what is asked."""

    message: str
    values: Mapping[str, object]

    @property
    def sentence(self) -> str:
        return self.message % self.values


@dataclass(frozen=True, slots=True)
class Progress:
    """What is asked now; `total` grows where a collision has to be looked into."""

    what: Note
    done: int
    total: int

    @property
    def asking(self) -> str:
        return self.what.sentence


Event = Found | Progress | Note


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for. `reply_s` is how long a meter may take to begin, `units_s` a Modbus device.

    `known` are addresses to ask in any case, each for the protocol that its length fits. With
    `by_pairs` DL/T 645 meters are looked for pair by pair even where one clean answer came: a near
    meter can drown a far one.
    """

    known: tuple[str, ...]
    units: Sequence[int]
    reply_s: float
    units_s: float
    by_pairs: bool = False


F = TypeVar("F")
T = TypeVar("T")


class Asking(Shape):
    """What a line is asked through: a Bus, or a part of one."""

    async def hear(self, request: bytes, *, reply_s: float = REPLY_S) -> bytes:
        """As `Bus.hear`."""
        ...

    async def run(self, start: Callable[[], Exchange[F, T]], decoder: Decoders[F]) -> T:
        """As `Bus.run`."""
        ...

    def close(self) -> None: ...


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
    counter = _Counter()
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


@dataclass(slots=True)
class _Counter:
    done: int = 0
    total: int = 0

    def asked(self, what: Note) -> Progress:
        self.done += 1
        self.total = max(self.total, self.done)
        return Progress(what, self.done, self.total)


async def _at(
    place: Place, bus: Asking, protocols: Sequence[Protocol], wanted: Wanted, counter: _Counter
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
            Protocol.DLT645_2007: _dlt645,
            Protocol.DLT645_1997: _dlt645,
            Protocol.CJT188: _cj188,
            Protocol.MODBUS_RTU: _modbus,
        }[protocol]
        async for event in looking(_Search(protocol, place, bus, wanted, counter)):
            if isinstance(event, Found):
                is_known = protocol is Protocol.DLT645_1997 and (
                    (Protocol.DLT645_2007, event.address) in found
                )  # meters of 2007 mostly serve the old edition too
                if is_known or (protocol, event.address) in found:
                    continue
                found.add((protocol, event.address))
            yield event


@dataclass(frozen=True, slots=True)
class _Search:
    protocol: Protocol
    place: Place
    bus: Asking
    wanted: Wanted
    counter: _Counter

    def known(self, digits: int) -> Iterable[str]:
        return (address for address in self.wanted.known if len(address) == digits)


# DL/T 645

Dlt645 = type[Dlt2007] | type[Dlt1997]


async def _dlt645(search: _Search) -> AsyncIterator[Event]:
    is_old = search.protocol is Protocol.DLT645_1997
    kind: Dlt645 = Dlt1997 if is_old else Dlt2007
    for address in search.known(12):
        yield search.counter.asked(_address(search, address))
        answers, collides = await _hear_dlt645(search, _read(search, address))
        if address in answers and (found := await _confirm(search, kind(address))):
            yield found
        elif collides:
            yield _two_of(search, address)
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
        if found := await _confirm(search, kind(address)):
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
        yield _first(master97.read(dlt645_frame.WILDCARD, master97.FORWARD_ACTIVE_ENERGY))
        yield _first(master97.read(dlt645_frame.BROADCAST, master97.FORWARD_ACTIVE_ENERGY))
    else:
        yield _first(dlt645.read_address())
        yield _first(dlt645.read(dlt645_frame.WILDCARD, dlt645.FORWARD_ACTIVE_ENERGY))


def _read(search: _Search, address: str) -> bytes:
    """What is asked under an address. The answer has the meter's number twice, once in its data with
    33H added: two answers at the same instant can by bad luck add up to one good frame that has it once."""
    if search.protocol is Protocol.DLT645_1997:
        return _first(master97.read(address, METER_NUMBER_1997))
    return _first(dlt645.read(address, COMMUNICATION_ADDRESS))


def _address(search: _Search, address: str) -> Note:
    return Note("%(protocol)s %(address)s", {"protocol": search.protocol.value, "address": address})


async def _by_pairs(search: _Search, kind: Dlt645, known: str) -> AsyncIterator[Event]:
    """All meters whose address ends in `known`, by the hundred pairs before it."""
    search.counter.total += len(PAIRS)
    colliding = []
    for pair in PAIRS:
        ending = pair + known
        asked = ending.rjust(12, "A")
        yield search.counter.asked(_address(search, asked))
        answers, collides = await _hear_dlt645(search, _read(search, asked))
        for address in answers:
            own = address if address.isdecimal() else asked
            if (
                own.isdecimal()
                and own.endswith(ending)
                and (found := await _confirm(search, kind(own)))
            ):
                yield found
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
            yield Note(
                "Two meters have the address %(address)s on %(place)s.",
                {"address": ending, "place": search.place},
            )
            continue
        async for event in _by_pairs(search, kind, ending):
            yield event


def _two_of(search: _Search, address: str) -> Note:
    return Note(
        "Something answers for %(address)s on %(place)s, but it cannot be read: two meters of this address, "
        "noise, or another rate or parity.",
        {"address": address, "place": search.place},
    )


async def _hear_dlt645(search: _Search, request: bytes) -> tuple[list[str], bool]:
    """The addresses that answer, and whether there is more that cannot be read."""
    heard = await search.bus.hear(request, reply_s=search.wanted.reply_s)
    addresses = []
    for frame, data in split_dlt645(heard):
        if frame is not None and frame.is_reply:
            addresses.append(frame.address)
        elif frame is None and data.strip(b"\xfe"):
            return addresses, True
    return addresses, False


async def _own_addresses(search: _Search, answers: list[str]) -> list[str]:
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


# CJ/T 188


async def _cj188(search: _Search) -> AsyncIterator[Event]:
    for address in search.known(14):
        yield search.counter.asked(_address(search, address))
        request = _first(
            cj188.read(address, cj188_items.CURRENT, meter_type=cj188_frame.ANY_TYPE, serial=0)
        )
        answers, collides = await _hear_cj188(search, request)
        if collides and not answers:
            yield _two_of(search, address)
        for answering, meter_type in answers:
            if found := await _confirm_cj188(search, answering, meter_type):
                yield found
    collided = False
    for meter_type in (cj188_frame.ANY_TYPE, *(t for t in METER_TYPES if t != 0xAA)):
        yield search.counter.asked(
            Note("cjt188: whoever is there, %(type)s", {"type": " ".join(METER_TYPES[meter_type])})
        )
        request = _first(cj188.read_address(meter_type=meter_type))
        answers, collides = await _hear_cj188(search, request)
        if answers and not collides:
            # The address comes once in an answer, so two neighbours can add up to a good frame; what
            # they have counted hardly does.
            request = _first(
                cj188.read(
                    cj188_frame.WILDCARD, cj188_items.CURRENT, meter_type=meter_type, serial=0
                )
            )
            counted, collides = await _hear_cj188(search, request)
            collides |= len(counted) > 1
        for address, answering_type in answers:
            if found := await _confirm_cj188(search, address, answering_type):
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


async def _hear_cj188(search: _Search, request: bytes) -> tuple[list[tuple[str, int]], bool]:
    """Addresses and types that answer, and whether there is more that cannot be read."""
    heard = await search.bus.hear(request, reply_s=search.wanted.reply_s)
    answers = []
    collides = False
    for frame, data in split_cj188(heard):
        if frame is not None and frame.is_reply:
            answers.append((frame.address, frame.type))
        collides |= frame is None and bool(data.strip(b"\xfe"))
    return answers, collides


async def _confirm_cj188(search: _Search, address: str, meter_type: int) -> Found | None:
    """In the order of the identifier that this meter takes."""
    refusal = None
    for high_first in (True, False):
        found = await _confirm(search, Cj188(address, meter_type, high_first))
        if found is None or not found.refuses:
            return found or refusal
        refusal = found
    return refusal


# Modbus


async def _modbus(search: _Search) -> AsyncIterator[Event]:
    for unit in search.wanted.units:
        yield search.counter.asked(Note("Modbus unit %(unit)s", {"unit": unit}))
        request = _first(modbus.read_holding(unit, address=0, count=1))
        heard = await search.bus.hear(request, reply_s=search.wanted.units_s)
        answers = modbus_frame.ReplyDecoder(request, echoes=False).feed(heard)
        if answers:
            said = "answers"
            if answers[0].is_exception:
                code = answers[0].data[0]
                if code in modbus.NOBODY_THERE:
                    continue
                said = f"answers: {modbus.EXCEPTIONS.get(code, 'an exception')}"
            yield Found(Protocol.MODBUS_RTU, str(unit), search.place, said)
        elif heard.removeprefix(request):
            yield Note(
                "Something answers for Modbus unit %(unit)s on %(place)s, but it cannot be read: two devices "
                "of one number, or another rate or parity.",
                {"unit": unit, "place": search.place},
            )


async def _confirm(search: _Search, meter: Dlt2007 | Dlt1997 | Cj188) -> Found | None:
    """The meter, if it answers under its own address; then with its register."""
    try:
        shown = await search.bus.run(lambda: meter.read(meter.usual[0]), meter.decoder)
    except Refused as refused:
        said = f"answers, but refuses its register: {', '.join(refused.reasons) or refused.code}"
        return Found(search.protocol, meter.address, search.place, said, refuses=True)
    except (NoReply, ProtocolError):
        return None
    said = f"{shown[0].value} {shown[0].unit}".strip()
    settings: dict[str, str] = {}
    if isinstance(meter, Cj188):
        order = "high-first" if meter.high_first else "low-first"
        settings = {"meter_type": f"{meter.meter_type:02X}", "di_order": order}
        name = METER_TYPES.get(meter.meter_type, ("", ""))[0]
        order = "" if meter.high_first else ", --low-first"
        said = f"{said}, T {meter.meter_type:02X} {name}{order}"
    return Found(search.protocol, meter.address, search.place, said, settings=settings)


def _first(exchange: Exchange[Any, Any]) -> bytes:
    """The request that an exchange begins with."""
    try:
        return next(exchange)
    finally:
        exchange.close()


MOST_KNOWN = 10_000


def known_addresses(text: str) -> tuple[str, ...]:
    """Addresses with commas between; two with a hyphen are all from the first to the second.

    Raises ValueError for what is not 12 or 14 digits, or more than 10000.
    """
    addresses: list[str] = []
    for part in re.split(r"[,\s]+", text.strip()):
        first, _, last = part.partition("-")
        last = last or first
        for one in (first, last):
            if len(one) not in (12, 14) or not (one.isascii() and one.isdecimal()):
                raise ValueError(f"{one!r} is not an address of 12 or 14 digits")
        if len(first) != len(last) or int(first) > int(last):
            raise ValueError(f"{part!r} is not a range of addresses")
        if int(last) - int(first) + len(addresses) >= MOST_KNOWN:
            raise ValueError(f"more than {MOST_KNOWN} addresses")
        addresses += [f"{n:0{len(first)}d}" for n in range(int(first), int(last) + 1)]
    return tuple(addresses)


def units(text: str) -> tuple[int, ...]:
    """Modbus units: "1-247", "1,5,17-20". Raises ValueError."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            low, high = 0, 0
        if not 1 <= low <= high <= 247:
            raise ValueError(f"{part.strip()!r} is not a unit or a range within 1-247")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))
