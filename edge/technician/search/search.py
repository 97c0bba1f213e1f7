"""One search on one line: what is wanted, through what it is asked, and how a meter that was heard is believed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from typing import Protocol as Shape

from edge.lines.bus import REPLY_S, Decoders, NoReply
from edge.lines.place import Place
from edge.technician.answers import Protocol
from edge.technician.both import Both, beside, joined, plain
from edge.technician.cj188_meters import Cj188
from edge.technician.dlt645_meters import Dlt1997, Dlt2007
from edge.technician.search.found import Found, Note, Progress
from edge.technician.words import ERRORS, METER_TYPES
from protocols.exchange import Exchange, ProtocolError, Refused


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


@dataclass(slots=True)
class Counter:
    """How many questions of a scan have been asked, and how many there are at the least."""

    done: int = 0
    total: int = 0

    def asked(self, what: Note) -> Progress:
        """One more is asked now."""
        self.done += 1
        self.total = max(self.total, self.done)
        return Progress(what, self.done, self.total)


@dataclass(frozen=True, slots=True)
class Search:
    """The search for the meters of one protocol at one place."""

    protocol: Protocol
    place: Place
    bus: Asking
    wanted: Wanted
    counter: Counter

    def known(self, digits: int) -> Iterable[str]:
        """The addresses of so many digits that are to be asked in any case."""
        return (address for address in self.wanted.known if len(address) == digits)


async def confirm(search: Search, meter: Dlt2007 | Dlt1997 | Cj188) -> Found | None:
    """The meter, if it answers under its own address; then with its register."""
    try:
        shown = await search.bus.run(lambda: meter.read(meter.usual[0]), meter.decoder)
    except Refused as refused:
        said = Both("answers, but refuses its register: ", "有应答，但拒绝抄读示数：")
        said += why_refused(refused)
        return Found(search.protocol, meter.address, search.place, said, refuses=True)
    except (NoReply, ProtocolError):
        return None
    said = plain(f"{shown[0].value} {shown[0].unit}".strip())
    settings: dict[str, str] = {}
    if isinstance(meter, Cj188):
        order = "high-first" if meter.high_first else "low-first"
        settings = {"meter_type": f"{meter.meter_type:02X}", "di_order": order}
        said += Both(", ", "，") + f"T {meter.meter_type:02X} "
        said += Both(*METER_TYPES.get(meter.meter_type, ("", "")))
        if not meter.high_first:
            said += Both(", --low-first", "，标识低字节在前")
    return Found(search.protocol, meter.address, search.place, said, settings=settings)


def why_refused(refused: Refused) -> Both:
    """The reasons that a meter gives, else its code."""
    reasons = [beside(reason, ERRORS) for reason in refused.reasons]
    return joined(reasons) if reasons else plain(f"{refused.code:02X}")


def address_asked(search: Search, address: str) -> Note:
    """Which address is asked."""
    return Note("%(protocol)s %(address)s", {"protocol": search.protocol.value, "address": address})


def two_of(search: Search, address: str) -> Note:
    """That what answers under an address is no frame."""
    return Note(
        "Something answers for %(address)s on %(place)s, but it cannot be read: two meters of this address, "
        "noise, or another rate or parity.",
        {"address": address, "place": search.place},
    )


def first_of(exchange: Exchange[Any, Any]) -> bytes:
    """The request that an exchange begins with."""
    try:
        return next(exchange)
    finally:
        exchange.close()
