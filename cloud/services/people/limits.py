"""What a cashier may take at the counter 收费限额: at once, and on one day."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlmodel import Session, col

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.tables import TopUp, User
from prepaid.money import Money

ZONE = ZoneInfo("Asia/Shanghai")  # whose midnight begins a cashier's day


class AboveLimit(CloudError):
    status = 403
    field = "amount_fen"
    sentence = (
        "You may take at most {most} yuan at once. Ask a colleague with a higher limit to take it."
    )


class AboveDailyLimit(CloudError):
    status = 403
    field = "amount_fen"
    sentence = "You may take at most {most} yuan a day and have taken {taken} yuan today. Ask a colleague to take it."


def check(session: Session, by: SignedIn, amount: Money, *, now: datetime) -> None:
    """Before money is taken at the counter, of whatever kind. One who takes money twice at once waits for himself.

    Raises AboveLimit or AboveDailyLimit.
    """
    user = session.execute(
        select(User)
        .where(col(User.id) == by.user_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one()
    if user.most_topup_fen is not None and amount.fen > user.most_topup_fen:
        raise AboveLimit(most=Money(user.most_topup_fen).in_yuan())
    if user.most_a_day_fen is None:
        return
    midnight = now.astimezone(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    taken = session.execute(
        select(func.coalesce(func.sum(col(TopUp.amount_fen)), 0)).where(
            col(TopUp.organization_id) == by.organization_id,
            col(TopUp.taken_by) == by.user_id,
            col(TopUp.paid_at) >= midnight,
        )
    ).scalar_one()
    if int(taken) + amount.fen > user.most_a_day_fen:
        most, so_far = Money(user.most_a_day_fen), Money(int(taken))
        raise AboveDailyLimit(most=most.in_yuan(), taken=so_far.in_yuan())
