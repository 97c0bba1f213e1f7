"""The setup pages 首次设置: from the link that `wattwell serve` prints to the first room on the board."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cloud import tables, web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.said import Said
from cloud.services import enrolment
from cloud.services.devices import models
from cloud.services.money import shifts
from cloud.services.operation import setup
from cloud.tables import utc_now
from cloud.web import SystemSession, UserSession
from dashboards import errors, page, qr, tariff_faults
from dashboards.manager.money import words
from dashboards.manager.operation import setup_prices
from dashboards.manager.outcome import outcome
from dashboards.manager.people.signing_in import Differ
from dashboards.manager.tariffs import form as prices_form
from dashboards.mistake import Mistake
from dashboards.words import N_
from prepaid.tariff_document import BadTariff

router = APIRouter(include_in_schema=False, prefix="/setup")

STEPS = (
    ("office", N_("Company")),
    ("site", N_("Site")),
    ("rooms", N_("Building")),
    ("tariff", N_("Price of electricity")),
    ("gateway", N_("Gateway")),
    ("room", N_("First room")),
    ("money", N_("First money")),
    ("channels", N_("Online payment")),
)
COMMON_ZONES = {
    "Asia/Shanghai": N_("Beijing time"),
    "Asia/Urumqi": N_("Urumqi"),
    "Asia/Hong_Kong": N_("Hong Kong"),
    "Asia/Ho_Chi_Minh": N_("Ho Chi Minh City"),
}

NEEDED = {
    "wechat": (
        N_(
            "A merchant number 商户号 of pay.weixin.qq.com, bound to a verified official account 服务号"
        ),
        N_("The products JSAPI, H5 and Native 支付, those of them that residents need"),
        N_("An API certificate, an APIv3 key and the public key of WeChat Pay 微信支付公钥"),
    ),
    "alipay": (
        N_("A business account 企业支付宝 of b.alipay.com with 手机网站支付 and 当面付"),
        N_("A web application at open.alipay.com that has been approved"),
        N_("A pair of keys RSA2, and the public key of Alipay 支付宝公钥"),
    ),
}
"""What has to be applied for, by channel (docs/payment-channels.md)."""

NAMES = {
    "rooms": {"name": "building"},
    "money": {"amount_fen": "amount", "float": "drawer"},
}
"""The forms' names for the fields of services, by step."""


async def fields(request: Request) -> FormData:
    """All fields of a form whose fields are many."""
    return await request.form()


Typed = Annotated[FormData, Depends(fields)]
Setter = Annotated[SignedIn, Depends(web.allowed(Permission.SET_UP))]
Text = Annotated[str, Form()]


@router.get("")
def next_step(request: Request, user: Setter, session: UserSession, kind: str = "") -> Response:
    """The first step that is still to be done; the board once all are. kind: a template of prices."""
    return _page(request, session, user, kind=kind)


@router.post("/site")
def site(
    request: Request, user: Setter, session: UserSession, name: Text = "", timezone: Text = ""
) -> Response:
    def do() -> None:
        setup.add_site(session, user, name=name, timezone=timezone, now=utc_now())

    return _done(request, session, user, do, name=name, timezone=timezone)


@router.post("/rooms")
def rooms(
    request: Request,
    user: Setter,
    session: UserSession,
    building: Text = "",
    first_floor: Text = "",
    last_floor: Text = "",
    on_each: Text = "",
) -> Response:
    def do() -> None:
        setup.add_rooms(
            session,
            user,
            building=building,
            first_floor=_whole(first_floor, field="first_floor"),
            last_floor=_whole(last_floor, field="last_floor"),
            on_each=_whole(on_each, field="on_each"),
            now=utc_now(),
        )

    typed = {"building": building, "first_floor": first_floor, "last_floor": last_floor}
    return _done(request, session, user, do, on_each=on_each, **typed)


@router.post("/tariff")
def tariff(request: Request, user: Setter, session: UserSession, given: Typed) -> Response:
    kind = str(given.get("kind", ""))
    site = setup.begun(session, user.organization_id).site
    if site is None or kind not in setup_prices.TEMPLATES:
        return RedirectResponse("/setup", status_code=303)
    typed, now = setup_prices.read(kind, given), utc_now()
    try:
        with session.begin_nested():
            document = setup_prices.document(typed, site, now=now)
            setup.publish_tariff(session, user, document, now=now)
    except BadTariff as error:
        say, faults = page.say(request), [setup_prices.here(fault) for fault in error.errors[:6]]
        at = setup_prices.field_of(faults[0]) if len(error.errors) == 1 else None
        told = Mistake(
            say(N_("; ")).join(tariff_faults.said(fault, say) for fault in faults), at, status=422
        )
        return _page(request, session, user, told, kind=kind, prices=typed)
    except CloudError as error:
        told = errors.mistake(request, error)
        return _page(request, session, user, told, kind=kind, prices=typed)
    return RedirectResponse("/setup", status_code=303)


@router.post("/gateway")
def gateway(
    request: Request, user: Setter, session: UserSession, gateway_no: Text = ""
) -> Response:
    """Adds it, and goes on to the page with its token. Sent again it goes on, too."""
    if setup.begun(session, user.organization_id).gateway is not None:
        return RedirectResponse("/setup", status_code=303)

    def do() -> None:
        setup.add_gateway(session, user, gateway_no=gateway_no, now=utc_now())

    answer = _done(request, session, user, do, gateway_no=gateway_no)
    return token(request, user, session) if answer.status_code == 303 else answer


@router.post("/token")
def token(request: Request, user: Setter, session: UserSession) -> Response:
    """The page with a token for the gateway, which is on no page after this one."""
    state = setup.begun(session, user.organization_id)
    if state.gateway is None:
        return RedirectResponse("/setup", status_code=303)
    settings = request.app.state.settings
    made = enrolment.issue_token(session, settings, state.gateway.id, by=user, now=utc_now())
    return _page(request, session, user, token=made, code=qr.drawn(made.text))


@router.post("/room")
def room(
    request: Request,
    user: Setter,
    session: UserSession,
    room: Text = "",
    holder: Text = "",
    meter_no: Text = "",
    model: Text = "",
    line: Text = "",
    address: Text = "",
    password: Text = "",
    level: Text = "",
    operator: Text = "",
    pt: Text = "",
    ct: Text = "",
) -> Response:
    typed = {"room": room, "holder": holder, "meter_no": meter_no, "model": model, "line": line}
    told = {"password": password, "level": level, "operator": operator, "pt": pt, "ct": ct}
    settings = {key: value.strip() for key, value in told.items()}

    def do() -> None:
        setup.open_room(session, user, address=address, settings=settings, now=utc_now(), **typed)

    return _done(request, session, user, do, address=address, pt=pt, ct=ct, **typed)


@router.post("/money")
def money(
    request: Request,
    user: Setter,
    session: UserSession,
    amount: Text = "",
    drawer: Text = "",
    key: Annotated[UUID | None, Form()] = None,
) -> Response:
    """Cash for the first room; the shift that it needs is opened with it."""

    def do() -> None:
        setup.take_money(
            session,
            user,
            words.amount(amount, field="amount"),
            float_=words.amount(drawer or "0", field="drawer"),
            key=key or uuid4(),
            now=utc_now(),
        )

    answer = _done(request, session, user, do, amount=amount, drawer=drawer)
    is_done = answer.status_code == 303
    return RedirectResponse("/setup/channels", status_code=303) if is_done else answer


@router.get("/channels")
def channels(request: Request, user: Setter, session: UserSession) -> Response:
    """How near the first room is to light, and what online payment still needs. It can be opened at any time."""
    settings = request.app.state.settings
    return page.render(
        request,
        "manager/setup.html",
        step="channels",
        steps=STEPS,
        state=setup.begun(session, user.organization_id),
        home=setup.first_home(session, user.organization_id),
        ways=[
            (words.WAYS[name], name in request.app.state.channels, NEEDED[name], name)
            for name in NEEDED
        ],
        public_url=settings.public_url,
        folder=settings.settings_file.parent if settings.settings_file else None,
        here="/setup/channels",
        timezone=page.TIMEZONE,
    )


# After the routes of the steps, whose names would be taken for tokens.


@router.get("/begin/{token}")
def ask(request: Request, session: SystemSession, token: str) -> Response:
    setup.check(session, request.app.state.settings, token)
    return _office(request, token)


@router.post("/begin/{token}")
def begin(
    request: Request,
    session: SystemSession,
    token: str,
    organization: Text = "",
    name: Text = "",
    login: Text = "",
    password: Text = "",
    again: Text = "",
) -> Response:
    """The organization and its administrator."""
    typed = {"organization": organization, "name": name, "login": login}
    settings = request.app.state.settings
    try:
        if password != again:
            raise Differ
        with session.begin_nested():
            cookie = setup.begin(
                session, settings, token, password=password, now=utc_now(), **typed
            )
    except setup.NoSetup:
        raise
    except CloudError as error:
        return _office(request, token, errors.mistake(request, error, typed))
    reply = RedirectResponse("/setup", status_code=303)
    web.set_cookie(reply, settings, cookie)
    return reply


def _office(request: Request, token: str, told: Mistake | None = None) -> Response:
    return page.render(
        request,
        "manager/setup.html",
        status=told.status if told else 200,
        step="office",
        steps=STEPS,
        setup_token=token,
        mistake=told or Mistake(),
    )


def _whole(text: str, *, field: str) -> int:
    """Raises setup.BadRule."""
    try:
        return int(text)
    except ValueError:
        raise setup.BadRule(
            field=field, reason=Said("floors and rooms are whole numbers")
        ) from None


def _done(
    request: Request, session: Session, user: SignedIn, do: Callable[[], None], **typed: str
) -> Response:
    """The next step, or this one again with what is wrong and what was typed."""
    again = partial(_page, request, session, user)
    names = NAMES.get(setup.begun(session, user.organization_id).step)
    return outcome(request, session, do, again, to="/setup", typed=typed, names=names)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    told: Mistake | None = None,
    *,
    kind: str = "",
    prices: prices_form.Form | None = None,
    **values: Any,
) -> Response:
    state = setup.begun(session, user.organization_id)
    if state.step == "done":
        return RedirectResponse("/rooms", status_code=303)
    kind = kind if kind in setup_prices.TEMPLATES else ""
    zones = (*COMMON_ZONES, *sorted(available_timezones() - COMMON_ZONES.keys()))
    row = tables.Room
    named = select(col(row.name)).where(col(row.organization_id) == user.organization_id)
    return page.render(
        request,
        "manager/setup.html",
        status=told.status if told else 200,
        step=state.step,
        steps=STEPS,
        state=state,
        mistake=told or Mistake(),
        zone_words=COMMON_ZONES,
        zones=zones if state.step == "site" else (),
        models=[model for model in models.MODELS if model.commodity == "electricity"],
        templates=setup_prices.TEMPLATES,
        kind=kind,
        prices=prices or (setup_prices.shown(kind) if kind else None),
        home=setup.first_home(session, user.organization_id) if state.step == "money" else None,
        has_shift=shifts.has_open(session, user) is not None,
        key=uuid4(),
        rooms=session.execute(named.order_by(col(row.name)).limit(200)).scalars().all()
        if state.step == "room"
        else (),
        cloud=request.app.state.settings.public_url,
        here="/setup",
        **({"token": None, "code": None} | values),
    )
