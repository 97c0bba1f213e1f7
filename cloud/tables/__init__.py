"""The schema, a module per area: estate, devices, money. Only shape; the verbs are in cloud.services."""

from cloud.tables.base import metadata, utc_now
from cloud.tables.devices import (
    Alarm,
    DownEntry,
    Gateway,
    GatewayAlarm,
    GatewayLog,
    PointState,
    Reading,
    Rejected,
    ServicePoint,
    TariffDocument,
    UpHash,
)
from cloud.tables.estate import (
    Account,
    Building,
    LoginFailure,
    Occupancy,
    Organization,
    Room,
    SignIn,
    Site,
    User,
)
from cloud.tables.money import Balance, DailyCharge, Purse, RefusedNotice, TopUp, Transfer

__all__ = [
    "Account",
    "Alarm",
    "Balance",
    "Building",
    "DailyCharge",
    "DownEntry",
    "Gateway",
    "GatewayAlarm",
    "GatewayLog",
    "LoginFailure",
    "Occupancy",
    "Organization",
    "PointState",
    "Purse",
    "Reading",
    "RefusedNotice",
    "Rejected",
    "Room",
    "ServicePoint",
    "SignIn",
    "Site",
    "TariffDocument",
    "TopUp",
    "Transfer",
    "UpHash",
    "User",
    "metadata",
    "utc_now",
]
