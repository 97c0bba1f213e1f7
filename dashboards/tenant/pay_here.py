"""What a top-up's own page shows to pay it: a link, a code to scan, or WeChat's bridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cloud.channels import Bridged, Channel, Way
from cloud.tables import TopUp
from dashboards.tenant.ways import SCAN


@dataclass(frozen=True, slots=True)
class Paying:
    """One of: href; code (an image's address) with scan (a message id); bridge (what WeChat is passed)."""

    href: str | None = None
    code: str | None = None
    scan: str = ""
    bridge: Mapping[str, str] | None = None
    until: datetime | None = None


def of(topup: TopUp, channels: Mapping[str, Channel], *, now: datetime) -> Paying | None:
    """None where the top-up is paid, cannot be paid any more, or its channel is not here any more."""
    channel = channels.get(topup.channel)
    if topup.paid_at or topup.credited_at or topup.closed_at:
        return None
    if topup.pay_url is None or topup.way is None:
        return None
    if channel is None or (topup.expires_at is not None and topup.expires_at <= now):
        return None
    match Way(topup.way):
        case Way.PAGE:
            return Paying(href=topup.pay_url, until=topup.expires_at)
        case Way.CODE:
            code = _drawn(topup.pay_url)
            return Paying(code=code, scan=SCAN[channel.name], until=topup.expires_at)
        case Way.BRIDGE:
            assert isinstance(channel, Bridged)
            return Paying(bridge=channel.bridge(topup.pay_url), until=topup.expires_at)


def _drawn(text: str) -> str:
    """A code as an image's address: black on white also in the dark, as not every camera reads the reverse."""
    import segno  # where a code is drawn, and nowhere else

    return segno.make_qr(text, error="m").svg_data_uri(scale=8, border=4, light="#fff")
