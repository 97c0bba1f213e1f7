"""What alarms and troubles are called, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.state import Look, Tone
from dashboards.words import N_
from prepaid.register.evidence import Kind
from prepaid.wire.uplog import AlarmKind, Trouble


@dataclass(frozen=True, slots=True)
class Said:
    """What a trouble of a gateway is called, what it means, and what to do."""

    look: Look
    meaning: str


ALARMS = {
    AlarmKind.SILENT: Look(N_("Meter silent"), "antenna-bars-off", Tone.BAD),
    AlarmKind.WRONG_ENTRY: Look(N_("Meter's entry is wrong"), "edit-off", Tone.BAD),
    AlarmKind.IMPLAUSIBLE: Look(N_("Reading in doubt"), "zoom-question", Tone.WARN),
    AlarmKind.STUCK: Look(N_("Register stands still"), "player-pause", Tone.WARN),
    AlarmKind.USED_WHILE_OFF: Look(N_("Used while off"), "activity", Tone.BAD),
    AlarmKind.LEAK: Look(N_("Leak suspected"), "droplet-exclamation", Tone.BAD),
    AlarmKind.SWITCH_FAILED: Look(N_("Switch did not follow"), "plug-x", Tone.BAD),
    AlarmKind.CANNOT_SWITCH: Look(N_("Cannot be switched as entered"), "plug-x", Tone.BAD),
    AlarmKind.NO_TARIFF: Look(N_("No tariff"), "receipt-off", Tone.WARN),
    AlarmKind.CLOCK_WRONG: Look(N_("Meter's clock is wrong"), "clock-exclamation", Tone.WARN),
    AlarmKind.CUT_WAITS: Look(N_("Cut waits for a person"), "hourglass", Tone.WARN),
    AlarmKind.FINAL_BALANCE: Look(N_("Balance nearly used up"), "alert-triangle", Tone.WARN),
    AlarmKind.LOW_BALANCE: Look(N_("Low balance"), "alert-triangle", Tone.WARN),
}

TROUBLES = {
    Trouble.DISK_FULL: Said(
        Look(N_("Disk nearly full"), "database", Tone.BAD),
        N_(
            "Readings are no longer kept; charging and cuts go on as long as they can. Free space on the gateway."
        ),
    ),
    Trouble.BRAKED: Said(
        Look(N_("Cuts held back"), "hand-stop", Tone.WARN),
        N_(
            "Too many points were to be cut off at once, so nobody is cut off for want of credit. "
            "Find out why, then release."
        ),
    ),
    Trouble.CLOCK: Said(
        Look(N_("Clock in doubt"), "clock-question", Tone.BAD),
        N_(
            "It does not know what time it is, so nobody is cut off for want of credit and no override ends. "
            "It charges as ever. Let it reach a time server or the cloud."
        ),
    ),
    Trouble.FORKED: Said(
        Look(N_("Old copy of the ledger"), "git-fork", Tone.BAD),
        N_(
            "An old copy of its ledger was put back and went on writing. "
            "Nothing of it is booked; it is being replaced."
        ),
    ),
    Trouble.TAKEN_OVER: Said(
        Look(N_("Ledger being rebuilt"), "replace", Tone.BUSY),
        N_(
            "A new ledger takes over from what is known here. Until it is complete nothing is charged or switched."
        ),
    ),
    Trouble.CODES_TRIED: Said(
        Look(N_("Wrong codes typed"), "password", Tone.WARN),
        N_(
            "Somebody has typed many wrong top-up codes at this gateway. Each further try has to wait longer. "
            "Ask on site who it is; a right code ends this."
        ),
    ),
    Trouble.CODE_UNKNOWN: Said(
        Look(N_("Unknown top-up code taken"), "receipt-off", Tone.BAD),
        N_(
            "The gateway gave credit for a code that is not known here, as after a restored database. The page of "
            "the gateway says whose it is and what to do."
        ),
    ),
    Trouble.DEBIT_UNKNOWN: Said(
        Look(N_("Unknown refund booked"), "receipt-refund", Tone.BAD),
        N_(
            "The gateway has taken money out of a purse for a refund or correction that is not known here, as after "
            "a restored database. Find out whether it was paid out: if so, book it as an adjustment; if not, "
            "rebuilding the gateway's ledger gives the credit back."
        ),
    ),
    Trouble.ENTRY_REFUSED: Said(
        Look(N_("Decision not applied"), "mail-x", Tone.BAD),
        N_(
            "The gateway has kept apart what was decided here, as it cannot apply it: mostly its program is older "
            "than this one. Upgrade it, look which top-up, tariff or meter has no effect there, and enter that again."
        ),
    ),
    Trouble.CLOUD_RESTORED: Said(
        Look(N_("Not heard since the restore"), "database-import", Tone.WARN),
        N_(
            "The data here were put back to a backup. The gateway goes on by what it knew; as soon as it is heard "
            "it is told what holds here."
        ),
    ),
}

FINDINGS = {
    Kind.MOVED: N_("moved as usual"),
    Kind.STILL: N_("did not move"),
    Kind.HIGH: N_("far above the usual"),
    Kind.ROLLOVER: N_("rolled over"),
    Kind.UNSEEN_ROUND: N_("may have gone round once more"),
    Kind.STUCK: N_("stands still"),
    Kind.JUMP: N_("jumped further than the meter can run"),
    Kind.BACKWARDS: N_("went backwards"),
    Kind.RESET: N_("was reset to zero"),
    Kind.OTHER_METER: N_("another meter answered"),
    Kind.DUPLICATE_ADDRESS: N_("two meters answer at one address"),
    Kind.ELSEWHERE: N_("is read at another place than the last that was charged"),
    Kind.GARBLED: N_("cannot be shown by this register"),
    Kind.RECOVERED: N_("has recovered"),
    Kind.CLOCK: N_("two clocks differ"),
    Kind.OFFSET: N_("was charged ahead as an estimate"),
    Kind.ESTIMATE: N_("is an estimate"),
    Kind.ACCEPTED: N_("accepted by a person"),
    Kind.DISMISSED: N_("dismissed by a person"),
    Kind.METER_CHANGE: N_("meter changed"),
}
