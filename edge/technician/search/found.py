"""What a search tells, as it goes: meters, what is asked now, and what there is to know of the line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.lines.place import Place, SerialAt
from edge.technician.answers import Protocol
from edge.technician.both import Both


@dataclass(frozen=True, slots=True)
class Found:
    """A meter that has answered under its own address. `said` is what it says of itself, `settings` what a
    driver must know to ask it."""

    protocol: Protocol
    address: str
    place: Place
    said: Both
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
            "said": self.said.english,
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
