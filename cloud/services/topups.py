"""TopUp 充值: ordered at a channel, paid, credited, delivered to the gateway, supply restored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from cloud.auth import SignedIn
from cloud.channels import Channel, Payment
from cloud.tables import TopUp
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why


@dataclass(frozen=True, slots=True)
class Stages:
    """已支付 → 已入账 → 已下发 → 已送电, each with its time once reached.

    armed_at: the customer may close the relay with the meter's button. supply and why are now.
    """

    topup_id: UUID
    purse_id: UUID
    amount: Money
    created_at: datetime
    paid_at: datetime | None
    credited_at: datetime | None
    delivered_at: datetime | None
    armed_at: datetime | None
    restored_at: datetime | None
    supply: Supply | None
    why: Why | None
    gateway_online: bool


def create(
    session: Session,
    channel: Channel,
    *,
    account_id: UUID,
    purse_id: UUID,
    amount: Money,
    idempotency_key: UUID,
    page_url: str,
) -> TopUp:
    """The top-up of this key, ordered at the channel: send the customer to its pay_url.

    Repeating it gives the same top-up. The channel sends the customer back to page_url/{top-up id}.

    Raises NoSuchPurse, BadAmount, KeyReused (another amount or purse under one key), ChannelAway (nothing
    is kept; the same key may be tried again) or ChannelRefused.
    """


def confirm(session: Session, payment: Payment, *, now: datetime) -> TopUp:
    """Books a payment, once: sets paid_at, posts the transfer, appends Credited to the gateway's log.

    Raises NoSuchOrder, or NotAsOrdered if the amount is another, or the order was paid by another payment.
    """


def record_cash(
    session: Session, *, purse_id: UUID, amount: Money, by: SignedIn, idempotency_key: UUID
) -> TopUp:
    """Money taken at the counter, credited at once. Raises NoSuchPurse, BadAmount or KeyReused."""


def stages(
    session: Session, topup_id: UUID, *, now: datetime, account_id: UUID | None = None
) -> Stages:
    """Where a top-up is. With account_id, only if it is of that account. Raises NoSuchTopUp."""
