"""What a gateway says of an alarm, in the reader's words."""

from __future__ import annotations

import re
from collections.abc import Callable

from cloud.services.alarms import PointAlarm
from dashboards import entry_words
from dashboards.words import N_
from prepaid.wire.uplog import AlarmKind

REASONS = (
    (
        r"no reply on line (.+) to (?:a request|\d+ requests)",
        N_("Nothing answers on line {0}. Look at its power, its wires and the address."),
    ),
    (
        r"no frame in what line (.+) answered to (?:a request|\d+ requests)",
        N_(
            "What comes on line {0} cannot be understood: another speed, noise, or two meters at one address."
        ),
    ),
    (
        r"no DTU has dialled in to (.+)|the DTU that had dialled in to (.+) is gone",
        N_("No DTU has dialled in to {0}. Look at its power and its network."),
    ),
    (
        r"(.+) cannot be (?:opened|listened to): .+|(.+) is not open|(.+) was closed by the other side",
        N_("The line's adapter {0} cannot be reached. Look at its power, its plug or its network."),
    ),
    (
        r"the command to go (?:on|off|armed): refused, code ([0-9A-F]+): .+",
        N_("The meter refuses to be switched, with code {0}. Look at its key and level."),
    ),
    (
        r"(?:still (?:on|off|armed)|the supply cannot be read) after (\d+) commands to go (?:on|off|armed)",
        N_("Its switch has not followed {0} commands. Look at the relay or valve."),
    ),
    (
        r"the register went on by (\S+) while its switch says off",
        N_(
            "Its register went on by {0} while its switch says off. Look whether the valve or relay shuts, and "
            "whether it is bridged."
        ),
    ),
    (
        r"at least (\S+) m3 in (\d+) s after it was opened, more than (\S+) m3 an hour",
        N_(
            "At least {0} m³ flowed in the {1} s after the valve was opened, faster than {2} m³ an hour, so it was "
            "closed again. Credit stays. It opens once somebody has said that all taps are closed."
        ),
    ),
    (
        r"its clock is .+ (?:fast|slow): .+",
        N_(
            "Its clock is further off than can be set from here. Set it at the meter, and look at its battery."
        ),
    ),
    (
        r"its clock is .+ (?:fast|slow), and it was just set from here",
        N_("Its clock is off again, although it was just set. Look at its battery."),
    ),
    (
        r"tariff (\S+) never came or could not be used: .+",
        N_(
            "The gateway does not have tariff {0}, so nothing is charged. Publish it again, or choose another."
        ),
    ),
    (r"refused, code ([0-9A-F]+): .+", N_("The meter refuses to be read, with code {0}.")),
)

OTHERWISE = {
    AlarmKind.SILENT: N_("It answers something else than it was asked."),
    AlarmKind.WRONG_ENTRY: N_("It cannot be asked as it is entered."),
    AlarmKind.USED_WHILE_OFF: N_("Its register goes on while its switch says off."),
    AlarmKind.LEAK: N_("Too much flowed after its valve was opened, so it was closed again."),
    AlarmKind.SWITCH_FAILED: N_("It did not follow the command to switch."),
    AlarmKind.CANNOT_SWITCH: N_("It cannot be switched as it is entered."),
    AlarmKind.CUT_WAITS: N_("It is due to be cut, and waits for a person."),
    AlarmKind.CLOCK_WRONG: N_("Its clock is off."),
    AlarmKind.NO_TARIFF: N_("The gateway has no tariff for it, so nothing is charged."),
}
"""What is said where the reason is none of these; of the other kinds the numbers say all (PointAlarm.findings)."""


def said(alarm: PointAlarm, say: Callable[[str], str]) -> str:
    """Why the alarm is on, in the language of say; "" where its kind and findings say it already."""
    otherwise = OTHERWISE.get(alarm.kind)
    if otherwise is None:
        return ""
    if alarm.kind in (AlarmKind.WRONG_ENTRY, AlarmKind.CANNOT_SWITCH):
        entry = entry_words.said(alarm.text, say)
        return entry if entry != alarm.text else say(otherwise)
    for pattern, words in REASONS:
        if found := re.fullmatch(pattern, alarm.text):
            return say(words).format(*(value for value in found.groups() if value is not None))
    return say(otherwise)
