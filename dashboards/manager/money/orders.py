"""Orders 订单流水: the list with its filters, sums and export; one top-up with its stages."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import channel_refunds, crediting, scopes, sheets, topups
from cloud.services.ledger import BOOKS_ZONE
from cloud.services.money import counter, orders, refunds, reversals
from cloud.services.money.orders import Order, Wanted
from cloud.services.money.stages import stages_of
from cloud.services.sheets import Column
from cloud.tables import User, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.money import words
from prepaid.money import Money

router = APIRouter(include_in_schema=False, prefix="/orders")

Reader = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TOPUPS))]

COLUMNS = tuple(
    Column(key, heading, "", "", is_needed=False)
    for key, heading in (
        ("number", "订单号 order"),
        ("kind", "类型 kind"),
        ("state", "状态 state"),
        ("rooms", "房间 room"),
        ("holder", "户名 holder"),
        ("purpose", "钱包 purse"),
        ("way", "方式 way"),
        ("channel_no", "渠道单号 channel no."),
        ("voucher", "凭证号 voucher"),
        ("amount", "金额 amount"),
        ("fee", "服务费 fee"),
        ("net", "到账 net"),
        ("before", "之前余额 balance before"),
        ("after", "之后余额 balance after"),
        ("by", "经办 by"),
        ("why", "备注 note"),
        ("created", "创建 created"),
        ("paid", "支付 paid"),
        ("booked", "入账 booked"),
        ("delivered", "下发 delivered"),
    )
)


def wanted(
    q: str = "",
    kind: str = "",
    way: str = "",
    state: str = "",
    purpose: str = "",
    by: UUID | str = "",
    shift: UUID | str = "",
    since: date | str = "",
    until: date | str = "",
) -> Wanted:
    """The filter as the page's address says it; what cannot be is left out."""
    return Wanted(
        q=q[:100],
        kind=kind if kind in orders.KINDS else "",
        way=way if way in words.WAYS else "",
        state=state if state in orders.STATES else "",
        purpose=purpose if purpose in words.PURPOSES else "",
        user_id=by if isinstance(by, UUID) else None,
        shift_id=shift if isinstance(shift, UUID) else None,
        since=_begin(since) if isinstance(since, date) else None,
        until=_begin(until + timedelta(days=1)) if isinstance(until, date) else None,
    )


@router.get("")
def all_orders(
    request: Request,
    user: Reader,
    session: UserSession,
    filter: Annotated[Wanted, Depends(wanted)],
    page_no: int = 1,
) -> Response:
    listed = orders.listed(session, user, filter, page=page_no)
    given = {k: v for k, v in request.query_params.items() if v and k != "page_no"}
    return page.render(
        request,
        "manager/money/orders.html",
        listed=listed,
        filter=filter,
        given=given,
        query=urlencode(given),
        order_kinds=orders.KINDS,
        order_states=orders.STATES,
        at_of=_link,
        **words.shown(session, user),
    )


@router.get("/export.{kind}")
def export(
    request: Request,
    kind: str,
    user: Reader,
    session: UserSession,
    filter: Annotated[Wanted, Depends(wanted)],
) -> Response:
    """The whole list that is wanted, as a workbook or as CSV."""
    say = page.say(request)
    rows = [_row(order, say) for order in orders.exported(session, user, filter)]
    name = f"orders-{utc_now().astimezone(BOOKS_ZONE):%Y%m%d-%H%M}"
    if kind == "csv":
        return Response(
            _csv(rows),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
        )
    return Response(
        sheets.write(COLUMNS, rows, title="订单流水 orders"),
        media_type="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        headers={"Content-Disposition": f'attachment; filename="{name}.xlsx"'},
    )


@router.get("/topups/{topup_id:uuid}")
def topup(request: Request, topup_id: UUID, user: Reader, session: UserSession) -> Response:
    """One top-up: its stages with their times, and what can be done about it."""
    row = scopes.check_topup(session, user, topup_id)
    now = utc_now()
    stages = stages_of(session, topup_id, now=now, organization_id=user.organization_id)
    taken_by = session.get(User, row.taken_by) if row.taken_by else None
    is_counter = row.channel in topups.COUNTER
    return page.render(
        request,
        "manager/money/order.html",
        topup=row,
        stages=stages,
        purse=counter.purse_seen(session, user, row.purse_id),
        taken_by=taken_by.name if taken_by else None,
        fee=Money(row.fee_fen),
        net=crediting.credited(row),
        after=None if row.balance_after_fen is None else Money(row.balance_after_fen),
        left=refunds.left_of(session, row) if row.credited_at else None,
        second=channel_refunds.of_topup(session, topup_id),
        is_counter=is_counter,
        may_refund=user.may(Permission.REFUND) and row.credited_at is not None,
        may_print=user.may(Permission.TAKE_TOPUPS) and row.credited_at is not None,
        needs_second=is_counter
        and row.paid_at is not None
        and reversals.needs_second(session, user, row, now=now),
        **words.shown(session, user),
    )


def _link(order: Order) -> str:
    if order.kind == "topup":
        return f"/orders/topups/{order.id}"
    is_grant = order.state == "credited"
    return f"/purses/{order.purse_id}" if is_grant else f"/withdrawals/{order.id}"


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), BOOKS_ZONE).astimezone(UTC)


def _row(order: Order, say: Callable[[str], str]) -> dict[str, str | Decimal | None]:
    def at(instant: datetime | None) -> str | None:
        return None if instant is None else f"{instant.astimezone(BOOKS_ZONE):%Y-%m-%d %H:%M:%S}"

    return {
        "number": order.number,
        "kind": say(words.KINDS[order.kind]),
        "state": say(words.STATES[order.state][0]),
        "rooms": order.rooms,
        "holder": order.holder,
        "purpose": say(words.PURPOSES[order.purpose]),
        "way": say(words.WAYS.get(order.way, order.way)),
        "channel_no": order.channel_no,
        "voucher": order.voucher,
        "amount": order.amount.in_yuan(),
        "fee": order.fee.in_yuan(),
        "net": order.net.in_yuan(),
        "before": None if order.before is None else order.before.in_yuan(),
        "after": None if order.after is None else order.after.in_yuan(),
        "by": order.by,
        "why": order.why,
        "created": at(order.created_at),
        "paid": at(order.paid_at),
        "booked": at(order.booked_at),
        "delivered": at(order.delivered_at),
    }


def _csv(rows: list[dict[str, str | Decimal | None]]) -> bytes:
    """With a byte order mark, by which Excel knows the encoding; no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([column.heading for column in COLUMNS])
    for row in rows:
        writer.writerow([_safe(row[column.key]) for column in COLUMNS])
    return out.getvalue().encode("utf-8-sig")


def _safe(value: str | Decimal | None) -> str:
    if value is None or isinstance(value, Decimal):
        return "" if value is None else str(value)
    return f"'{value}" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
