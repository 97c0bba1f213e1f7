"""From the tenant's form to the channel: the order, and who pays where the channel wants to know."""

from __future__ import annotations

import hashlib
from uuid import UUID

from fastapi import Request
from itsdangerous import BadSignature, Signer
from starlette.responses import RedirectResponse, Response

from cloud.auth import Tenant
from cloud.channels import Channel, ChannelRefused, Payer, Way
from cloud.channels.configured import wechat_login
from cloud.db import Database
from cloud.said import Said
from cloud.services import topups
from cloud.settings import Settings
from cloud.tables import utc_now
from dashboards.tenant import unpaid
from dashboards.tenant.ways import Offer
from prepaid.money import Money

COOKIE = "wattwell_openid"
KEEPS_S = 30 * 24 * 3600


def to_the_channel(
    request: Request,
    tenant: Tenant,
    database: Database,
    *,
    purse_id: UUID,
    amount: Money,
    offer: Offer,
    openid: str | None = None,
) -> Response:
    """Orders the top-up, or finds the one begun, and sends the browser to where it is paid.

    Inside WeChat it goes to WeChat first, which says who pays (back_from_wechat). Raises CloudError.
    """
    settings: Settings = request.app.state.settings
    channel: Channel = request.app.state.channels[offer.channel]
    path = f"/t/{tenant.token}"
    openid = openid or _known_openid(request, settings)
    if offer.way is Way.BRIDGE and openid is None:
        return _ask_wechat(settings, path, purse_id, amount)
    with database.organization(tenant.organization_id) as session:
        # Counted first: an order made between the two is then found, not made a second time.
        key = unpaid.next_key(
            session, purse_id=purse_id, amount=amount, channel=channel.name, way=offer.way
        )
        begun = unpaid.orders(session, tenant.account_id, now=utc_now())
    # Outside of any transaction, for it asks the payment company.
    same, first = unpaid.to_go_on_with(begun, channel, offer.way, purse_id=purse_id, amount=amount)
    if same is not None:
        return sent(same.href(path))
    ordered = topups.create(
        database,
        channel,
        organization_id=tenant.organization_id,
        account_id=tenant.account_id,
        purse_id=purse_id,
        amount=amount,
        idempotency_key=key,
        page_url=f"{settings.public_url}{path}/topups",
        way=offer.way,
        payer=Payer(ip=request.client.host if request.client else "", openid=openid or ""),
        twin_of=first,
    )
    if ordered.paid_at is None and ordered.pay_url is not None and offer.way is Way.PAGE:
        return sent(ordered.pay_url)
    return sent(f"{path}/topups/{ordered.id}")


def sent(url: str) -> Response:
    """To the channel with the name of our site and no more: WeChat's page looks who sends its customers."""
    return RedirectResponse(
        url, status_code=303, headers={"Referrer-Policy": "strict-origin-when-cross-origin"}
    )


def _ask_wechat(settings: Settings, path: str, purse_id: UUID, amount: Money) -> Response:
    login = wechat_login(settings)
    assert login is not None
    back = f"{path}/wechat/{purse_id}/{amount.fen}"
    address = login.address(return_url=f"{settings.public_url}{back}", state=_state(settings, back))
    return RedirectResponse(address, status_code=303)


def back_from_wechat(settings: Settings, path: str, *, code: str, state: str) -> str:
    """The openid of whoever was sent to WeChat from path. Raises ChannelAway or ChannelRefused."""
    login = wechat_login(settings)
    if login is None or state != _state(settings, path):
        raise ChannelRefused(reason=Said("WeChat did not send you here"))
    return login.openid(code)


def keep_openid(reply: Response, settings: Settings, openid: str) -> None:
    """So that WeChat need not be asked each time."""
    reply.set_cookie(
        COOKIE,
        _signer(settings).sign(openid).decode(),
        max_age=KEEPS_S,
        httponly=True,
        samesite="lax",
        secure=settings.public_url.startswith("https:"),
        path="/t",
    )


def _known_openid(request: Request, settings: Settings) -> str | None:
    try:
        return _signer(settings).unsign(request.cookies.get(COOKIE, "")).decode()
    except (BadSignature, UnicodeDecodeError):
        return None


def _signer(settings: Settings) -> Signer:
    # The account that openids are of belongs to what is signed: another's are other people's.
    return Signer(
        settings.session_secret,
        salt=f"wattwell openid {settings.wechat_appid}",
        key_derivation="hmac",
        digest_method=hashlib.sha256,
    )


def _state(settings: Settings, path: str) -> str:
    """Letters and digits, as WeChat wants them: the purse and amount were not changed on the way."""
    return hashlib.sha256(_signer(settings).get_signature(path)).hexdigest()
