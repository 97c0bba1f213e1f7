"""gateway.toml as it is written: its tables, and each fault with the line to mend."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from edge.clocks.clock_settings import ClockTable
from edge.lines.line_settings import LineTable
from edge.lines.pace import SHARE
from edge.lines.place import SerialAt, host_and_port
from edge.uplink.access import BrokerAt, broker_at
from edge.uplink.cloud_http import check_address
from prepaid.enrolment import read_key

MOST_LINES = 32
WIDE_QUOTES = re.compile("[“”‘’＂]")
"""What an input method for Chinese, or a word processor, makes of quotes."""


class BadSettings(Exception):
    """The configuration cannot be used. errors is one sentence for each fault, with its line."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def read(path: Path) -> SettingsFile:
    """Raises BadSettings if there is no file that can be read."""
    try:
        return SettingsFile(path, path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadSettings([f"{path} cannot be read: {reason}"]) from error


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The file at path, and its text."""

    path: Path
    text: str

    def tables(self) -> Tables:
        """Checked whole. Raises BadSettings with every fault found."""
        try:
            given = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise BadSettings([self._not_toml(str(error))]) from error
        twice = [
            self.fault(("line", at, "name"), f"{name} is described before")
            for at, name in _doubled(given)
        ]
        try:
            tables = Tables.model_validate(given)
        except ValidationError as error:
            faults = [self.fault(fault["loc"], _reason(fault)) for fault in error.errors()]
            raise BadSettings(faults + twice) from error
        if twice := twice + self._shared(tables):
            raise BadSettings(twice)
        return tables

    def fault(self, place: tuple[str | int, ...], what: str) -> str:
        """The sentence for what is wrong with the setting at place."""
        name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
        return f"{self.path}, line {_line_number(self.text, place)}: {name[1:]}: {what}"

    def _not_toml(self, why: str) -> str:
        found = re.fullmatch(r"(.+) \(at line (\d+), column (\d+)\)", why)
        if found is None:
            return f"{self.path} is not TOML: {why}"
        what, number, column = found[1], int(found[2]), found[3]
        line = self.text.splitlines()[number - 1] if number <= self.text.count("\n") + 1 else ""
        wide = WIDE_QUOTES.search(line)
        hint = f': the quotes must be " and not {wide[0]}' if wide else ""
        return f"{self.path}, line {number}: this is not TOML: {what} (at column {column}){hint}"

    def _shared(self, tables: Tables) -> list[str]:
        """A sentence for each line at the place of another: two masters on a wire talk into each other's answers."""
        faults: list[str] = []
        first: dict[str, str] = {}
        if tables.page is not None:
            first[f"tcp {tables.page.listen}"] = "the page"
        for number, line in enumerate(tables.line):
            at = line.at
            where = at.device if isinstance(at, SerialAt) else f"tcp {at.host}:{at.port}"
            other = first.setdefault(where, f"line {line.name}")
            if other != f"line {line.name}":
                faults.append(self.fault(("line", number, "port"), f"{other} is there already"))
        return faults


def _doubled(given: dict[str, Any]) -> list[tuple[int, str]]:
    """The lines whose name an earlier one has, also where the file has other faults."""
    lines = given.get("line")
    names = [
        line.get("name") if isinstance(line, dict) else None
        for line in (lines if isinstance(lines, list) else [])
    ]
    return [
        (at, name) for at, name in enumerate(names) if isinstance(name, str) and name in names[:at]
    ]


def _reason(fault: Any) -> str:
    match fault["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a setting"
        case "value_error":
            return str(fault["ctx"]["error"])
        case "string_pattern_mismatch":
            return "must be 1 to 40 letters, digits, - or _"
        case "list_type" if fault["loc"] == ("line",):
            return "each line is a table of its own, which begins with [[line]] in two brackets"
        case _:
            return str(fault["msg"])


def _line_number(text: str, place: tuple[str | int, ...]) -> int:
    """Where in the file the setting at place stands; where its table starts if it is not there."""
    want_table = str(place[0]) if len(place) > 1 else ""
    want_index = place[1] if len(place) > 1 and isinstance(place[1], int) else 0
    table, index, started = "", 0, 1
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[{1,2}\s*([^\]\s]+)\s*\]", line):
            table = header[1]
            index = seen[table] = seen.get(table, -1) + 1
            if (table, index) == (want_table or str(place[0]), want_index):
                started = number
        key = re.match(r"\s*([A-Za-z0-9_-]+)\s*=", line)
        if key and key[1] == place[-1] and (table, index) == (want_table, want_index):
            return number
    return started


def broker_of(text: str) -> BrokerAt:
    """Of HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT. Raises ValueError for anything else."""
    if "://" in text:
        return broker_at(text)
    return BrokerAt(*host_and_port(text), is_tls=False)


def _is_broker(text: str) -> str:
    broker_of(text)
    return text


def _is_cloud(text: str) -> str:
    return check_address(text, is_plain_allowed=True)


def _is_key(text: str) -> str:
    try:
        read_key(text)
    except ValueError:
        raise ValueError("must be the cloud's public key: 32 bytes in base64") from None
    return text


def _is_address(text: str) -> str:
    host_and_port(text)
    return text


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class CloudTable(_Table):
    url: Annotated[str, AfterValidator(_is_cloud)] | None = None
    ca_file: str | None = None
    broker: Annotated[str, AfterValidator(_is_broker)] | None = None
    key: Annotated[str, AfterValidator(_is_key)] | None = None
    password_file: str | None = None
    heartbeat_s: Annotated[float, Field(ge=0.1, le=60)] = 30
    resend_s: Annotated[float, Field(ge=0.1, le=600)] = 5


class StoreTable(_Table):
    kept_days: Annotated[int, Field(ge=1, le=3650)] = 90
    reserve_mb: Annotated[int, Field(ge=1, le=1024)] = 16


class PageTable(_Table):
    listen: Annotated[str, AfterValidator(_is_address)]
    https: bool = True


class LogTable(_Table):
    file: Annotated[str, Field(min_length=1)]
    size_mb: Annotated[int, Field(ge=1, le=1024)] = 10
    kept: Annotated[int, Field(ge=1, le=100)] = 5


class Tables(_Table):
    """All that the file says."""

    gateway_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    poll_s: Annotated[float, Field(ge=0.1, le=3600)] = 900
    poll_share: Annotated[Decimal, Field(gt=0, le=1, strict=False)] = SHARE
    measure_s: Annotated[float, Field(ge=0, le=86400)] = 900
    cloud: CloudTable = CloudTable()
    store: StoreTable = StoreTable()
    clock: ClockTable = ClockTable()
    page: PageTable | None = None
    log: LogTable | None = None
    line: Annotated[list[LineTable], Field(min_length=1, max_length=MOST_LINES)]
