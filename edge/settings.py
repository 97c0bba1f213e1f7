"""gateway.toml: read once, checked whole, frozen. A wrong file is refused with the line to mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from edge.clocks.clock_settings import ClockSettings
from edge.lines.line_settings import LineSettings
from edge.lines.place import host_and_port
from edge.settings_file import (
    BadSettings,
    CloudTable,
    LogTable,
    PageTable,
    SettingsFile,
    Tables,
    broker_of,
    read,
)
from edge.uplink.access import Access, BadCertificate, tls_context
from edge.uplink.credentials import BadCredentials, Credentials
from edge.uplink.credentials import read as read_credentials
from prepaid.enrolment import read_key
from prepaid.seal import KeySet

PASSWORD_VARIABLE = "WATTWELL_GATEWAY_PASSWORD"


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
    file = read(path)
    tables = file.tables()
    log = _log(file, tables.log)
    access, keys, credentials = _cloud(file, tables, environ)
    return Settings(
        gateway_no=tables.gateway_no,
        access=access,
        cloud_keys=keys,
        credentials=credentials,
        heartbeat_s=tables.cloud.heartbeat_s,
        resend_s=tables.cloud.resend_s,
        poll_s=tables.poll_s,
        poll_share=tables.poll_share,
        measure_s=tables.measure_s,
        lines=tuple(line.settings() for line in tables.line),
        ledger=ledger_beside(path),
        kept=timedelta(days=tables.store.kept_days),
        reserve_bytes=tables.store.reserve_mb * 1024 * 1024,
        clock=tables.clock.settings(),
        page=_page(tables.page),
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
    file = read(path)
    tables = file.tables()
    cloud = tables.cloud
    has_password = cloud.key is not None or cloud.password_file is not None
    return Contact(tables.gateway_no, cloud.url, _ca(file, cloud), has_password)


def _cloud(
    file: SettingsFile, tables: Tables, environ: Mapping[str, str]
) -> tuple[Access, KeySet, Credentials | None]:
    """By what we speak to the cloud: what enrolment gave, and what gateway.toml says instead of it."""
    path = file.path
    try:
        credentials = read_credentials(path.parent)
    except BadCredentials as error:
        raise BadSettings([str(error)]) from error
    cloud, ca = tables.cloud, _ca(file, tables.cloud)
    if credentials is None:
        if cloud.broker is None or cloud.key is None:
            raise BadSettings(_not_enrolled(file, cloud))
        password = _password(file, cloud.password_file, environ)
        access = Access((broker_of(cloud.broker),), tables.gateway_no, password, ca)
        return access, KeySet([read_key(cloud.key)]), None
    if credentials.gateway_no != tables.gateway_no:
        raise BadSettings(
            [
                f"{path}: gateway_no is {tables.gateway_no}, and what enrolment wrote beside it is for gateway "
                f"{credentials.gateway_no}"
            ]
        )
    access = replace(credentials.access, ca=ca or credentials.broker_ca)
    if cloud.broker is not None:
        access = replace(access, brokers=(broker_of(cloud.broker),))
    if cloud.url is not None:
        credentials = replace(credentials, cloud_url=cloud.url, https_ca=ca or credentials.https_ca)
    return access, credentials.keys, credentials


def _not_enrolled(file: SettingsFile, cloud: CloudTable) -> list[str]:
    missing = [name for name in ("broker", "key") if getattr(cloud, name) is None]
    if len(missing) == 2:
        return [
            f"{file.path}: this gateway is not enrolled: run `wattwell edge enrol` with a token of the cloud"
        ]
    return [
        file.fault(("cloud", name), "is missing, for a gateway not enrolled") for name in missing
    ]


def _ca(file: SettingsFile, cloud: CloudTable) -> str | None:
    """The certificate authority as PEM. Raises BadSettings."""
    if cloud.ca_file is None:
        return None
    place = file.path.parent / cloud.ca_file
    try:
        pem = place.read_text("ascii")
        tls_context(pem, now=datetime.now(UTC))
    except (OSError, UnicodeDecodeError, BadCertificate) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no certificate as PEM"
        what = f"{place} cannot be used: {reason}"
        raise BadSettings([file.fault(("cloud", "ca_file"), what)]) from error
    return pem


def _password(file: SettingsFile, password_file: str | None, environ: Mapping[str, str]) -> str:
    if password := environ.get(PASSWORD_VARIABLE):
        return password
    if password_file is None:
        raise BadSettings(
            [
                f"{file.path}: the broker password is missing; set {PASSWORD_VARIABLE} or cloud.password_file"
            ]
        )
    place, setting = file.path.parent / password_file, ("cloud", "password_file")
    try:
        password = place.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BadSettings([file.fault(setting, f"{place} cannot be read: {reason}")]) from error
    if not password:
        raise BadSettings([file.fault(setting, f"{place} is empty")])
    return password


def _page(page: PageTable | None) -> PageSettings | None:
    if page is None:
        return None
    host, port = host_and_port(page.listen)
    return PageSettings(host, port, page.https)


def _log(file: SettingsFile, log: LogTable | None) -> LogSettings | None:
    """Raises BadSettings where no file can be there."""
    if log is None:
        return None
    kept, setting = file.path.parent / log.file, ("log", "file")
    if not kept.parent.is_dir():
        what = f"there is no folder {kept.parent}: make it, and let the gateway's user write there"
        raise BadSettings([file.fault(setting, what)])
    if kept.is_dir():
        raise BadSettings([file.fault(setting, f"{kept} is a folder: name a file in it")])
    return LogSettings(kept, log.size_mb * 1024 * 1024, log.kept)


def ledger_beside(config: Path) -> Path:
    """Where the gateway with this settings file keeps its ledger."""
    return config.parent / "ledger.sqlite"
