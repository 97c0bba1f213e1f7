"""What goes wrong on a bench 故障, by name and by seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields

ON_THE_LINE = ("silence", "noise", "truncation", "echo", "late", "babbling")
IN_THE_METER = (
    "two_on_one_address",
    "stuck_relay",
    "half_open_valve",
    "wrong_password",
    "reset_register",
    "rollover",
    "stuck_register",
    "open_tap",
)
NAMES = ON_THE_LINE + IN_THE_METER


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each happens, from 0 to 1; the first six on the wire, the others inside a meter.

    silence: an exchange without answer. noise: random characters before the answer. truncation: its end
    is missing. echo: the adapter sends the request back first. late: the answer begins 1 to 3 s later
    than it should. babbling: in each second, somebody talks unasked all through it.

    The others are the share of meters that have them, chosen by seed; on one meter 1 is always, 0 never.
    two_on_one_address: another meter answers too. stuck_relay: the contact stays where it is.
    half_open_valve: it stops halfway and reports itself abnormal. wrong_password: none that is known is right.
    reset_register: it falls to zero. rollover: it starts 0.50 before its end. stuck_register: it stands
    still while current flows. open_tap: behind a water meter a tap stands wide open, as well as what is used.
    """

    silence: float = 0.0
    noise: float = 0.0
    truncation: float = 0.0
    echo: float = 0.0
    late: float = 0.0
    babbling: float = 0.0
    two_on_one_address: float = 0.0
    stuck_relay: float = 0.0
    half_open_valve: float = 0.0
    wrong_password: float = 0.0
    reset_register: float = 0.0
    rollover: float = 0.0
    stuck_register: float = 0.0
    open_tap: float = 0.0


assert tuple(field.name for field in fields(Faults)) == NAMES


@dataclass(frozen=True, slots=True)
class OwnFaults:
    """What is wrong inside one meter, from an instant of the clock on."""

    names: frozenset[str] = frozenset()
    after: int = 0

    def has(self, name: str, at: int) -> bool:
        return name in self.names and at >= self.after


def drawn(line: Faults, own: Faults, *, seed: str, after: int) -> OwnFaults:
    """What is wrong inside a meter of a line: each fault drawn once for the line, once for the meter."""
    names = set()
    for name in IN_THE_METER:
        for whose, faults in (("line", line), ("meter", own)):
            often: float = getattr(faults, name)
            if random.Random(f"{seed}:{whose}:{name}").random() < often:
                names.add(name)
    return OwnFaults(frozenset(names), after)
