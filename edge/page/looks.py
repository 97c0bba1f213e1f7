"""What a line and a service point look like to a technician: words, an icon and a tone for each state."""

from __future__ import annotations

from dataclasses import dataclass

from edge.field.said import Tone
from edge.field.status import LineStatus, PointStatus
from edge.ledger.store import Hold
from edge.page.words import N_
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import AlarmKind, Trouble, Work

ICONS = {
    "line": "M4 7h16M4 17h16M8 7v10M16 7v10",
    "meter": "M5 4h14v16H5zM8 8h8M9 13l3 3 4-5",
    "code": "M4 6h16v12H4zM8 10h.01M12 10h.01M16 10h.01M8 14h8",
    "console": "M5 7l5 5-5 5M12 19h7",
    "log": "M6 4h9l4 4v12H6zM9 12h7M9 16h7",
    "good": "M5 12l5 5L20 7",
    "warn": "M12 4l9 16H3zM12 10v4M12 17h.01",
    "bad": "M6 6l12 12M18 6L6 18",
    "silent": "M4 4l16 16M8 16v2M12 12v6M16 15v3M12 6v2",
    "search": "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13zM15.5 15.5L20 20",
    "back": "M15 5l-7 7 7 7",
    "cloud": "M7 18a4 4 0 0 1 0-8 6 6 0 0 1 11-1 4.5 4.5 0 0 1-1 9z",
    "clock": "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2",
    "camera": "M4 8h3l2-3h6l2 3h3v11H4zM12 16a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
    "plug": "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4",
    "off": "M12 4v8M6.5 7.5a8 8 0 1 0 11 0",
    "finger": "M10 12V5a1.5 1.5 0 0 1 3 0v6l5 1.5c1 .3 1.5 1.3 1.2 2.5L18 20h-8l-4-6c1-1 2.5-.5 4 1",
    "link": "M9 15l6-6M8 12l-2.5 2.5a3 3 0 0 0 4 4L12 16M12 8l2.5-2.5a3 3 0 0 1 4 4L16 12",
    "leave": "M14 4h5v16h-5M4 12h10M10 8l4 4-4 4",
    "database": "M5 6c0-3 14-3 14 0v12c0 3-14 3-14 0zM5 6c0 3 14 3 14 0M5 12c0 3 14 3 14 0",
}
"""Paths on 24 by 24."""


@dataclass(frozen=True, slots=True)
class Look:
    """label is a message id."""

    label: str
    icon: str
    tone: Tone


SUPPLIES = {
    Supply.ON: Look(N_("On"), "plug", Tone.GOOD),
    Supply.OFF: Look(N_("Off"), "off", Tone.BAD),
    Supply.ARMED: Look(N_("May be closed by its button"), "finger", Tone.WARN),
    None: Look(N_("Supply unknown"), "warn", Tone.NONE),
}
WHYS = {
    Why.PROTECTED: N_("protected"),
    Why.KEPT: N_("kept on by hand"),
    Why.FORCED_OFF: N_("cut off by hand"),
    Why.HELD: N_("reading in doubt"),
    Why.VACANT: N_("vacant, by the site's rule"),
    Why.NO_TARIFF: N_("no tariff"),
    Why.CREDIT: N_("credit"),
    Why.OVERDRAFT: N_("overdraft"),
    Why.EMERGENCY: N_("emergency credit"),
    Why.NO_CREDIT: N_("no credit"),
    Why.CLOCK: N_("clock in doubt"),
    Why.QUIET: N_("quiet time"),
    Why.NOT_WARNED: N_("customer not warned long enough"),
    Why.BRAKED: N_("too many cuts at once"),
    Why.STALE: N_("reading too old"),
    Why.UNCONFIRMED: N_("to be read once more"),
    Why.CURRENT: N_("too much current"),
    Why.DWELL: N_("switch has only just moved"),
    Why.STAGGERED: N_("one after another"),
    Why.TAPS: N_("taps not confirmed closed"),
    Why.LEAK: N_("a leak is suspected"),
}
ALARMS = {
    AlarmKind.SILENT: N_("Meter silent"),
    AlarmKind.WRONG_ENTRY: N_("Meter's entry is wrong"),
    AlarmKind.IMPLAUSIBLE: N_("Reading in doubt"),
    AlarmKind.STUCK: N_("Register stands still"),
    AlarmKind.USED_WHILE_OFF: N_("Used while off"),
    AlarmKind.LEAK: N_("Leak suspected"),
    AlarmKind.SWITCH_FAILED: N_("Switch did not follow"),
    AlarmKind.CANNOT_SWITCH: N_("Cannot be switched as entered"),
    AlarmKind.NO_TARIFF: N_("No tariff"),
    AlarmKind.CLOCK_WRONG: N_("Meter's clock is wrong"),
    AlarmKind.CUT_WAITS: N_("Cut waits"),
    AlarmKind.FINAL_BALANCE: N_("Balance nearly gone"),
    AlarmKind.LOW_BALANCE: N_("Balance low"),
}
TROUBLES = {
    Trouble.DISK_FULL: N_("The disk is nearly full: readings are not kept."),
    Trouble.BRAKED: N_("Too many cuts at once: nobody is cut until an operator has looked."),
    Trouble.CLOCK: N_("The clock is in doubt: nobody is cut for want of credit, no override ends."),
    Trouble.FORKED: N_("An old copy of the ledger was put back."),
    Trouble.CODES_TRIED: N_("Many wrong offline codes were typed."),
    Trouble.CODE_UNKNOWN: N_("An offline code gave credit that the cloud does not know."),
    Trouble.DEBIT_UNKNOWN: N_("Money was taken out of a purse that the cloud does not know of."),
    Trouble.ENTRY_REFUSED: N_("What the cloud decided cannot be applied here: see the log."),
    Trouble.CLOUD_RESTORED: N_("The cloud's data were put back to a backup."),
    Trouble.TAKEN_OVER: N_("A new ledger takes over from another."),
}
HOLDS = {
    Hold.RESTORED: N_("The ledger was put back from a backup, and waits for the cloud."),
    Hold.BEHIND: N_("The ledger is an old copy: it is rebuilt from what the cloud knows."),
    Hold.FORKED: N_("The ledger is an old copy: it is rebuilt from what the cloud knows."),
    Hold.REPLACED: N_("The cloud follows another ledger of this gateway. A person must decide."),
    Hold.REBUILDING: N_("The ledger is rebuilt from what the cloud knows."),
}
WORKS = {
    Work.CUT_TEST: N_("Cut test"),
    Work.BLINK_TEST: N_("Blink test"),
    Work.UNLINK: N_("Link undone"),
    Work.CONSOLE: N_("Frame by hand"),
}
SILENT = Look(N_("Silent"), "silent", Tone.BAD)
WRONG = Look(N_("Entry is wrong"), "bad", Tone.BAD)
NEVER = Look(N_("Never read"), "search", Tone.WARN)
DOUBT = Look(N_("Reading in doubt"), "warn", Tone.WARN)

SERVED = Look(N_("Served"), "good", Tone.GOOD)
SOME_SILENT = Look(N_("Some silent"), "warn", Tone.WARN)
ALL_SILENT = Look(N_("All silent"), "silent", Tone.BAD)
STUCK = Look(N_("Stuck"), "bad", Tone.BAD)
WAITING = Look(N_("Not served"), "bad", Tone.BAD)
EMPTY = Look(N_("No meters yet"), "search", Tone.NONE)


def of_point(point: PointStatus) -> Look:
    if point.is_silent:
        return SILENT
    if point.is_wrong:
        return WRONG
    if point.read_at is None:
        return NEVER
    if point.is_held:
        return DOUBT
    return SUPPLIES[point.supply]


def of_line(line: LineStatus) -> Look:
    if line.is_stuck:
        return STUCK
    if line.is_waiting and line.points:
        return WAITING
    if not line.points:
        return EMPTY
    if line.silent == line.points:
        return ALL_SILENT
    return SOME_SILENT if line.silent else SERVED
