"""What a customer was told before the cut: since when, and whether the meter itself sounds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Buzzer(StrEnum):
    """What a meter was told about its alarm 表计报警."""

    SILENT = "silent"
    ASKED = "asked"  # to sound; whether it heard is not known
    SOUNDS = "sounds"  # it acknowledged


@dataclass(frozen=True, slots=True)
class Warned:
    """The final alarm of a shortage 余额告急, given at an instant; is_dated if the clock was trusted then.

    is_over once the balance is above the alarm again; it is kept until the buzzer is off too.
    """

    at: datetime
    is_dated: bool
    is_over: bool = False
    buzzer: Buzzer = Buzzer.SILENT
