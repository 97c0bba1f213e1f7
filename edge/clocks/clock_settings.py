"""The table [clock] of gateway.toml: what the gateway's time rests on, and what is done about meters' clocks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from edge.clocks.clock_setting import ClockRules
from edge.clocks.trust import Rules
from edge.clocks.witness import Quorum


class SystemClock(StrEnum):
    """When the machine's own clock is right."""

    NTP = "ntp"  # while the kernel says that a time service keeps it
    ALWAYS = "always"  # something keeps it that the kernel does not know of
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class ClockSettings:
    system: SystemClock
    rules: Rules
    meters: ClockRules


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"there is no time zone {name}; it is a name like Asia/Shanghai") from None
    return name


class ClockTable(BaseModel):
    """[clock] as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    system: SystemClock = SystemClock.NTP
    timezone: Annotated[str, AfterValidator(_is_zone)] = "Asia/Shanghai"
    most_error_s: Annotated[int, Field(ge=60, le=900)] = 300
    drift_ppm: Annotated[int, Field(ge=1, le=500)] = 100
    witnesses: Annotated[int, Field(ge=2, le=15)] = 2
    agree_s: Annotated[int, Field(ge=5, le=240)] = 60
    set_meters: bool = True
    set_by_address: bool = False
    set_from_s: Annotated[int, Field(ge=5, le=240)] = 30

    def settings(self) -> ClockSettings:
        return ClockSettings(
            self.system,
            Rules(most_error=timedelta(seconds=self.most_error_s), drift_ppm=self.drift_ppm),
            ClockRules(
                zone=ZoneInfo(self.timezone),
                quorum=Quorum(least=self.witnesses, within=timedelta(seconds=self.agree_s)),
                sets_meters=self.set_meters,
                sets_by_address=self.set_by_address,
                set_from=timedelta(seconds=self.set_from_s),
            ),
        )
