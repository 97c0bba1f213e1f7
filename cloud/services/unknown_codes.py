"""Codes 离线充值码 that a gateway took and that we know otherwise or not at all, as after a database was put back.

The gateway has credit by such a code that our books have not. It ends when a credit of ours takes the code's place,
when the code is voided here, or with the gateway's ledger; the alarm ends with the last of them.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from cloud import tables
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import audit, downlog, takeover
from cloud.tables import UnknownCode
from prepaid.money import Money
from prepaid.wire.downlog import CodeVoided
from prepaid.wire.uplog import CodeEntered, Trouble

log = logging.getLogger(__name__)


class NoSuchCode(CloudError):
    status = 404
    sentence = "There is no such code, or it is settled already."


@dataclass(frozen=True, slots=True)
class CodeCard:
    """A code that is not settled. rooms are those that its purse pays for; is_voided: that is on its way."""

    purse_id: UUID
    number: int
    amount: Money
    at: datetime
    purpose: str
    holder: str
    rooms: str
    account_id: UUID
    is_voided: bool


def note(
    session: Session,
    gateway: tables.Gateway,
    message: CodeEntered,
    *,
    ours: Money | None,
    now: datetime,
) -> None:
    """Keeps that a code was taken whose number has ours, another amount, or (None) no credit; raises the alarm.

    Needs a system session and the gateway locked.
    """
    said = "we have no such credit" if ours is None else f"ours is of ¥{ours}"
    said = (
        f"a code of ¥{message.amount} was typed for credit {message.number} of purse {message.purse}, "
        f"and {said}: was the database set back?"
    )
    log.error("gateway %s: %s", gateway.gateway_no, said)
    taken = {
        "gateway_id": gateway.id,
        "amount_fen": message.amount.fen,
        "at": message.at,
        "down_seq": None,
        "settled_at": None,
    }
    session.execute(
        insert(UnknownCode)
        .values(
            organization_id=gateway.organization_id,
            purse_id=message.purse,
            number=message.number,
            **taken,
        )
        .on_conflict_do_update(index_elements=["purse_id", "number"], set_=taken)
    )
    takeover.alarm(session, gateway, Trouble.CODE_UNKNOWN, at=message.at, is_over=False, text=said)
    settle(session, gateway, now=now)


def settle(session: Session, gateway: tables.Gateway, *, now: datetime) -> None:
    """Notes which codes the gateway has no credit of any more, as it has that of our log which ends them.

    Needs a system session and the gateway locked.
    """
    credit = tables.Credit
    found = session.execute(
        select(
            UnknownCode,
            exists().where(
                col(credit.purse_id) == col(UnknownCode.purse_id),
                col(credit.number) == col(UnknownCode.number),
            ),
        ).where(col(UnknownCode.gateway_id) == gateway.id, col(UnknownCode.settled_at).is_(None))
    ).all()
    for code, is_credited in found:
        is_void = code.down_seq is not None and code.down_seq <= gateway.down_acked
        # Of a credit it is not kept which entry says it: it is one of those that there are.
        if is_void or (is_credited and gateway.down_acked >= gateway.down_seq):
            code.settled_at = now
            session.add(code)
    session.flush()
    if found and all(code.settled_at is not None for code, _ in found):
        end = "the gateway has no credit of a code that we do not know"
        takeover.end_alarm(session, gateway, Trouble.CODE_UNKNOWN, at=now, text=end)


def of_gateway(session: Session, gateway_id: UUID) -> list[CodeCard]:
    """Those that are not settled, the oldest first."""
    return [
        CodeCard(
            purse_id=row.purse_id,
            number=row.number,
            amount=Money(row.amount_fen),
            at=row.at,
            purpose=row.purpose,
            holder=row.holder,
            rooms=row.rooms or "",
            account_id=row.account_id,
            is_voided=row.down_seq is not None,
        )
        for row in session.execute(_OPEN, {"gateway": gateway_id})
    ]


_OPEN = text("""
    SELECT c.purse_id, c.number, c.amount_fen, c.at, c.down_seq, p.purpose, p.account_id, a.holder,
           (SELECT string_agg(DISTINCT r.name, ', ' ORDER BY r.name)
              FROM points s JOIN rooms r ON r.id = s.room_id WHERE s.purse_id = c.purse_id) AS rooms
    FROM unknown_codes c
    JOIN purses p ON p.id = c.purse_id
    JOIN accounts a ON a.id = p.account_id
    WHERE c.gateway_id = :gateway AND c.settled_at IS NULL
    ORDER BY c.at, c.purse_id, c.number
""")


def void(
    session: Session,
    gateway_id: UUID,
    purse_id: UUID,
    number: int,
    *,
    by: SignedIn,
    now: datetime,
) -> None:
    """Has the gateway take back what a code gave; again changes nothing. Raises NoSuchCode."""
    (gateway,) = downlog.lock(session, [gateway_id])
    code = session.get(UnknownCode, (purse_id, number), populate_existing=True)
    if code is None or code.gateway_id != gateway_id or code.settled_at is not None:
        raise NoSuchCode
    if code.down_seq is not None:
        return
    code.down_seq = downlog.append(session, gateway, [CodeVoided(purse_id, number)])
    session.add(code)
    session.flush()
    after = {"number": number, "amount_fen": code.amount_fen}
    audit.record(session, by, "void-code", of="purse", id=purse_id, after=after, now=now)
