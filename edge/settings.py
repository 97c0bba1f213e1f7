"""gateway.toml: read once, checked whole, frozen. A wrong file is refused with the line to mend."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from edge.clocks.clock_settings import ClockSettings, ClockTable
from edge.lines.pace import SHARE
from edge.lines.place import (
    USUAL_BAUD,
    ListenAt,
    Place,
    SerialAt,
    TcpAt,
    checked_baud,
    host_and_port,
    port_at,
)
from edge.uplink.access import Access, BadCertificate, BrokerAt, broker_at, tls_context
from edge.uplink.cloud_http import check_address
from edge.uplink.credentials import BadCredentials, Credentials
from edge.uplink.credentials import read as read_credentials
from prepaid.enrolment import read_key
from prepaid.seal import KeySet

MOST_LINES = 32
PASSWORD_VARIABLE = "WATTWELL_GATEWAY_PASSWORD"


class BadSettings(Exception):
    """The configuration cannot be used. errors is one sentence for each fault, with its line."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A line, how it is reached, and its manners (edge.lines.place.Place)."""

    name: str
    at: SerialAt | TcpAt
    delay_s: float
    gap_s: float | None = None
    echoes: bool | None = None

    @property
    def place(self) -> Place:
        return Place(self.at, self.delay_s, self.gap_s, self.echoes)


@dataclass(frozen=True, slots=True)
class PageSettings:
    """Where the technician's page is served; https with a certificate that the gateway makes itself."""

    host: str
    port: int
    is_https: bool


@dataclass(frozen=True, slots=True)
class LogSettings:
    """A file for the log, so long, with so many older ones kept beside it."""

    file: Path
    size_bytes: int
    kept: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the gateway is told. Times in seconds."""

    gateway_no: str
    access: Access
    cloud_keys: KeySet
    credentials: Credentials | None  # None where gateway.toml itself has key and password
    heartbeat_s: float
    resend_s: float
    poll_s: float
    poll_share: Decimal  # of a line's time, for visits to purses near a level
    measure_s: float  # how often what meters measure is asked for; 0 for never
    lines: tuple[LineSettings, ...]
    ledger: Path
    kept: timedelta  # how long readings and acknowledged entries are
    reserve_bytes: int  # for the ledger alone, once the disk is full
    clock: ClockSettings
    page: PageSettings | None = None
    log: LogSettings | None = None

    @property
    def credential(self) -> int | None:
        """The number of the credentials, None where the gateway was not enrolled."""
        return None if self.credentials is None else self.credentials.number

    @property
    def code_key(self) -> bytes | None:
        """The key of offline top-up codes, None where the gateway was not enrolled."""
        return None if self.credentials is None else self.credentials.code_key


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in the file at path, with what enrolment wrote beside it.

    A gateway that was not enrolled has the cloud's key in the file, and the broker's password in
    WATTWELL_GATEWAY_PASSWORD or password_file. Raises BadSettings with every fault found.
    """
    file, text = _read(path)
    log = _log(path, text, file.log)
    access, keys, credentials = _cloud(path, text, file, environ)
    return Settings(
        gateway_no=file.gateway_no,
        access=access,
        cloud_keys=keys,
        credentials=credentials,
        heartbeat_s=file.cloud.heartbeat_s,
        resend_s=file.cloud.resend_s,
        poll_s=file.poll_s,
        poll_share=file.poll_share,
        measure_s=file.measure_s,
        lines=tuple(_line(line) for line in file.line),
        ledger=ledger_beside(path),
        kept=timedelta(days=file.store.kept_days),
        reserve_bytes=file.store.reserve_mb * 1024 * 1024,
        clock=file.clock.settings(),
        page=_page(file.page),
        log=log,
    )


@dataclass(frozen=True, slots=True)
class Contact:
    """What enrolment needs of gateway.toml. url is the cloud's address there, ca a certificate authority as PEM."""

    gateway_no: str
    url: str | None
    ca: str | None
    has_password: bool  # or a key of the cloud: not needed any more once the gateway is enrolled


def contact(path: Path) -> Contact:
    """For a gateway that is yet to be enrolled. Raises BadSettings with every fault found."""
    file, text = _read(path)
    cloud = file.cloud
    has_password = cloud.key is not None or cloud.password_file is not None
    return Contact(file.gateway_no, cloud.url, _ca(path, text, cloud), has_password)


def _cloud(
    path: Path, text: str, file: _File, environ: Mapping[str, str]
) -> tuple[Access, KeySet, Credentials | None]:
    """By what we speak to the cloud: what enrolment gave, and what gateway.toml says instead of it."""
    try:
        credentials = read_credentials(path.parent)
    except BadCredentials as error:
        raise BadSettings([str(error)]) from error
    cloud, ca = file.cloud, _ca(path, text, file.cloud)
    if credentials is None:
        if cloud.broker is None or cloud.key is None:
            raise BadSettings(_not_enrolled(path, text, cloud))
        password = _password(path, text, cloud.password_file, environ)
        access = Access((_broker(cloud.broker),), file.gateway_no, password, ca)
        return access, KeySet([read_key(cloud.key)]), None
    if credentials.gateway_no != file.gateway_no:
        raise BadSettings(
            [
                f"{path}: gateway_no is {file.gateway_no}, and what enrolment wrote beside it is for gateway "
                f"{credentials.gateway_no}"
            ]
        )
    access = replace(credentials.access, ca=ca or credentials.broker_ca)
    if cloud.broker is not None:
        access = replace(access, brokers=(_broker(cloud.broker),))
    if cloud.url is not None:
        credentials = replace(credentials, cloud_url=cloud.url, https_ca=ca or credentials.https_ca)
    return access, credentials.keys, credentials


def _not_enrolled(path: Path, text: str, cloud: _Cloud) -> list[str]:
    missing = [name for name in ("broker", "key") if getattr(cloud, name) is None]
    if len(missing) == 2:
        return [
            f"{path}: this gateway is not enrolled: run `wattwell edge enrol` with a token of the cloud"
        ]
    return [
        _fault(path, text, ("cloud", name), "is missing, for a gateway not enrolled")
        for name in missing
    ]


def _ca(path: Path, text: str, cloud: _Cloud) -> str | None:
    """The certificate authority as PEM. Raises BadSettings."""
    if cloud.ca_file is None:
        return None
    place = path.parent / cloud.ca_file
    try:
        pem = place.read_text("ascii")
        tls_context(pem, now=datetime.now(UTC))
    except (OSError, UnicodeDecodeError, BadCertificate) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no certificate as PEM"
        what = f"{place} cannot be used: {reason}"
        raise BadSettings([_fault(path, text, ("cloud", "ca_file"), what)]) from error
    return pem


def _read(path: Path) -> tuple[_File, str]:
    """The file as checked, and its text. Raises BadSettings with every fault found."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors of Windows put a mark at the start
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadSettings([f"{path} cannot be read: {reason}"]) from error
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings([_not_toml(path, text, str(error))]) from error
    twice = [
        _fault(path, text, ("line", at, "name"), f"{name} is described before")
        for at, name in _doubled(given)
    ]
    try:
        file = _File.model_validate(given)
    except ValidationError as error:
        faults = [_sentence(path, text, fault) for fault in error.errors()]
        raise BadSettings(faults + twice) from error
    if twice := twice + _shared(path, text, file):
        raise BadSettings(twice)
    return file, text


def _not_toml(path: Path, text: str, why: str) -> str:
    found = re.fullmatch(r"(.+) \(at line (\d+), column (\d+)\)", why)
    if found is None:
        return f"{path} is not TOML: {why}"
    what, number, column = found[1], int(found[2]), found[3]
    line = text.splitlines()[number - 1] if number <= text.count("\n") + 1 else ""
    hint = f': the quotes must be " and not {wide[0]}' if (wide := WIDE_QUOTES.search(line)) else ""
    return f"{path}, line {number}: this is not TOML: {what} (at column {column}){hint}"


WIDE_QUOTES = re.compile("[“”‘’＂]")
"""What an input method for Chinese, or a word processor, makes of quotes."""


def _shared(path: Path, text: str, file: _File) -> list[str]:
    """A sentence for each line at the place of another: two masters on one wire talk into each other's answers."""
    faults: list[str] = []
    first: dict[str, str] = {}
    if file.page is not None:
        first[f"tcp {file.page.listen}"] = "the page"
    for at, line in enumerate(file.line):
        place = port_at(line.port, line.baud)
        where = place.device if isinstance(place, SerialAt) else f"tcp {place.host}:{place.port}"
        other = first.setdefault(where, f"line {line.name}")
        if other != f"line {line.name}":
            faults.append(_fault(path, text, ("line", at, "port"), f"{other} is there already"))
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


def ledger_beside(config: Path) -> Path:
    """Where the gateway with this settings file keeps its ledger."""
    return config.parent / "ledger.sqlite"


def _is_broker(text: str) -> str:
    _broker(text)
    return text


def _broker(text: str) -> BrokerAt:
    """Of HOST:PORT, mqtt://HOST:PORT or mqtts://HOST:PORT. Raises ValueError for anything else."""
    if "://" in text:
        return broker_at(text)
    return BrokerAt(*host_and_port(text), is_tls=False)


def _is_cloud(text: str) -> str:
    return check_address(text, is_plain_allowed=True)


def _is_key(text: str) -> str:
    try:
        read_key(text)
    except ValueError:
        raise ValueError("must be the cloud's public key: 32 bytes in base64") from None
    return text


def _is_port(text: str) -> str:
    port_at(text, 2400)
    return text


def _is_said(text: str) -> str:
    _bytes(text)
    return text


def _bytes(text: str) -> bytes:
    """Text as it stands, or "hex:" and bytes in hexadecimal. Raises ValueError for less than two bytes."""
    try:
        said = bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()
    except ValueError:
        said = b""
    if len(said) < 2:
        raise ValueError('must be a text, or "hex:" and bytes in hexadecimal; two bytes at least')
    return said


class _Cloud(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    url: Annotated[str, AfterValidator(_is_cloud)] | None = None
    ca_file: str | None = None
    broker: Annotated[str, AfterValidator(_is_broker)] | None = None
    key: Annotated[str, AfterValidator(_is_key)] | None = None
    password_file: str | None = None
    heartbeat_s: Annotated[float, Field(ge=0.1, le=60)] = 30
    resend_s: Annotated[float, Field(ge=0.1, le=600)] = 5


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Annotated[str, Field(min_length=1)]
    port: Annotated[str, AfterValidator(_is_port)]
    baud: Annotated[int, AfterValidator(checked_baud)] = USUAL_BAUD
    delay_s: Annotated[float, Field(ge=0, le=30)] | None = None
    gap_ms: Annotated[int, Field(ge=0, le=2000)] | None = None
    echo: bool | None = None
    registration: Annotated[str, AfterValidator(_is_said)] | None = None
    heartbeat: Annotated[str, AfterValidator(_is_said)] | None = None

    @field_validator("baud")
    @classmethod
    def _is_said_once(cls, baud: int, info: ValidationInfo) -> int:
        at = port_at(info.data["port"], baud) if "port" in info.data else None
        if isinstance(at, SerialAt) and at.baud != baud:
            raise ValueError(
                f"the rate of a serial device stands in its port, which says {at.baud}"
            )
        return baud

    @field_validator("registration", "heartbeat")
    @classmethod
    def _is_of_a_dtu(cls, said: str | None, info: ValidationInfo) -> str | None:
        if said is not None and not info.data.get("port", "tcp-listen:").startswith("tcp-listen:"):
            raise ValueError('is for a DTU that dials in: port must be "tcp-listen:HOST:PORT"')
        return said


class _Store(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    kept_days: Annotated[int, Field(ge=1, le=3650)] = 90
    reserve_mb: Annotated[int, Field(ge=1, le=1024)] = 16


def _is_address(text: str) -> str:
    host_and_port(text)
    return text


class _Page(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    listen: Annotated[str, AfterValidator(_is_address)]
    https: bool = True


class _Log(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    file: Annotated[str, Field(min_length=1)]
    size_mb: Annotated[int, Field(ge=1, le=1024)] = 10
    kept: Annotated[int, Field(ge=1, le=100)] = 5


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    gateway_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
    poll_s: Annotated[float, Field(ge=0.1, le=3600)] = 900
    poll_share: Annotated[Decimal, Field(gt=0, le=1, strict=False)] = SHARE
    measure_s: Annotated[float, Field(ge=0, le=86400)] = 900
    cloud: _Cloud = _Cloud()
    store: _Store = _Store()
    clock: ClockTable = ClockTable()
    page: _Page | None = None
    log: _Log | None = None
    line: Annotated[list[_Line], Field(min_length=1, max_length=MOST_LINES)]


def _page(page: _Page | None) -> PageSettings | None:
    if page is None:
        return None
    host, port = host_and_port(page.listen)
    return PageSettings(host, port, page.https)


def _log(path: Path, text: str, log: _Log | None) -> LogSettings | None:
    """Raises BadSettings where no file can be there."""
    if log is None:
        return None
    file = path.parent / log.file
    place = ("log", "file")
    if not file.parent.is_dir():
        what = f"there is no folder {file.parent}: make it, and let the gateway's user write there"
        raise BadSettings([_fault(path, text, place, what)])
    if file.is_dir():
        raise BadSettings([_fault(path, text, place, f"{file} is a folder: name a file in it")])
    return LogSettings(file, log.size_mb * 1024 * 1024, log.kept)


def _line(line: _Line) -> LineSettings:
    at = port_at(line.port, line.baud)
    if isinstance(at, ListenAt):
        registration, heartbeat = (
            _bytes(said) if said is not None else b""
            for said in (line.registration, line.heartbeat)
        )
        at = replace(at, registration=registration, heartbeat=heartbeat)
    usual = 1.0 if isinstance(at, TcpAt) else 0.2
    return LineSettings(
        line.name,
        at,
        delay_s=usual if line.delay_s is None else line.delay_s,
        gap_s=None if line.gap_ms is None else line.gap_ms / 1000,
        echoes=line.echo,
    )


def _password(path: Path, text: str, file: str | None, environ: Mapping[str, str]) -> str:
    if password := environ.get(PASSWORD_VARIABLE):
        return password
    if file is None:
        raise BadSettings(
            [
                f"{path}: the broker password is missing; set {PASSWORD_VARIABLE} or cloud.password_file"
            ]
        )
    place, setting = path.parent / file, ("cloud", "password_file")
    try:
        password = place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        what = f"{place} cannot be read: {reason}"
        raise BadSettings([_fault(path, text, setting, what)]) from error
    if not password:
        raise BadSettings([_fault(path, text, setting, f"{place} is empty")])
    return password


def _sentence(path: Path, text: str, fault: Any) -> str:
    match fault["type"]:
        case "missing":
            what = "is missing"
        case "extra_forbidden":
            what = "is not a setting"
        case "value_error":
            what = str(fault["ctx"]["error"])
        case "string_pattern_mismatch":
            what = "must be 1 to 40 letters, digits, - or _"
        case "list_type" if fault["loc"] == ("line",):
            what = "each line is a table of its own, which begins with [[line]] in two brackets"
        case _:
            what = fault["msg"]
    return _fault(path, text, fault["loc"], what)


def _fault(path: Path, text: str, place: tuple[str | int, ...], what: str) -> str:
    """What is wrong with the setting at place, with the line to mend."""
    name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{path}, line {_line_number(text, place)}: {name[1:]}: {what}"


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
