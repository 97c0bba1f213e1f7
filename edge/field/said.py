"""A sentence for a technician: a message and what stands in it, to be put into his language where it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from edge.drivers import BadMeter
from edge.ledger.ledger_file import StoreFull
from edge.ledger.store import StoreHeld
from edge.lines.bus import Garbled, NoReply
from edge.lines.ports import LineAway
from edge.technician.search.search import why_refused
from protocols.exchange import ProtocolError, Refused


class Tone(StrEnum):
    """How a sentence is coloured. Never the only signal."""

    GOOD = "good"
    BUSY = "busy"
    WARN = "warn"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Said:
    """message is English with %(name)s for each of values; a value may be such a sentence itself."""

    message: str
    tone: Tone = Tone.NONE
    values: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.message % self.values


def said(message: str, tone: Tone = Tone.NONE, **values: object) -> Said:
    return Said(message, tone, values)


class CannotDo(Exception):
    """What a technician asked for is not done. sentence says why."""

    def __init__(self, sentence: Said) -> None:
        super().__init__(str(sentence))
        self.sentence = sentence


def why_not(message: str, **values: object) -> CannotDo:
    return CannotDo(Said(message, Tone.BAD, values))


TROUBLES = (NoReply, ProtocolError, LineAway, BadMeter, StoreFull, StoreHeld, CannotDo)
"""What may go wrong with a meter, a line or the ledger while a technician works."""


def of_error(error: Exception) -> Said:
    """What one of TROUBLES means to a technician."""
    match error:
        case CannotDo():
            return error.sentence
        case Garbled():
            return said(
                "Something answers that cannot be read: noise, another rate or parity, or two meters on one address.",
                Tone.BAD,
            )
        case NoReply():
            return said(
                "No answer. Check address, A and B, the meter's power, rate and parity.", Tone.BAD
            )
        case Refused():
            return said("The meter refuses: %(why)s.", Tone.BAD, why=why_refused(error))
        case ProtocolError():
            return said(
                "The meter answers something else than was asked: %(what)s.", Tone.BAD, what=error
            )
        case LineAway():
            values = {name: WHY_AWAY.get(str(value), value) for name, value in error.values.items()}
            what = Said(error.message, values=values)
            return said("The line cannot be used: %(what)s.", Tone.BAD, what=what)
        case BadMeter():
            return said("The meter's entry is wrong: %(what)s.", Tone.BAD, what=of_entry(error))
        case StoreHeld():
            return said("The ledger is held: nothing is read, charged or switched.", Tone.BAD)
        case StoreFull():
            return said(
                "The disk is full, so nothing can be written down, and nothing is done.", Tone.BAD
            )
    raise error


WHY_AWAY = {
    why.message: why
    for why in (
        said("no answer within 5 s"),
        said("there is no host of this name, or no network to ask who it is"),
        said("Invalid argument; a pseudo-terminal has no parity, give it 8N1"),
        said("it is not a serial device"),
        said("another program has it open"),
        said("Permission denied; the user must be in the group that owns it, often dialout"),
        said("No such file or directory"),
        said("No such device"),
        said("Input/output error"),
        said("Connection refused"),
        said("No route to host"),
        said("Network is unreachable"),
        said("Address already in use"),
    )
}
"""Why a line cannot be opened (edge.lines.port.reason_of), as far as it is often so."""

SETTINGS = {
    "address": said("address"),
    "password": said("password"),
    "level": said("level"),
    "operator": said("operator code"),
}
"""What a setting is called in the office's form."""


def of_entry(error: BadMeter) -> Said:
    """What is wrong in the entry of a meter, by the names that its form has."""
    values = dict(error.values)
    if (setting := values.get("setting")) in SETTINGS:
        values["setting"] = SETTINGS[str(setting)]
    return Said(error.message, values=values)
