"""An account as its holder sees it: a purse at a time, with what is supplied and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from cloud.services.board import PointCard
from cloud.services.codes import Issued
from cloud.services.emergency import Loan
from cloud.services.money.counter import masked
from cloud.services.money.rules import NO_RULES, Rules
from cloud.services.tenant import TenantHome, TopUpLine
from dashboards.state import PointState, Tone, is_credit_on_its_way, of_point
from dashboards.tenant.unpaid import Unpaid, one_of_each
from dashboards.words import N_
from prepaid.credit import CreditState
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import ASKS_TAPS, Why


@dataclass(frozen=True, slots=True)
class Notice:
    """What is the matter and what to do, as message ids."""

    title: str
    advice: str
    icon: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class PurseView:
    """A purse and the service point that most needs attention. total is the register, where there is but one.

    lends is what emergency credit would bring now, loan what is taken; asks_taps: its supply waits until the
    customer says that the taps are closed. codes are of what the gateway, which is_online or not, has not got.
    """

    purse_id: UUID
    is_power: bool
    balance: Money
    days_left: Decimal | None
    state: PointState
    notice: Notice | None
    read_at: datetime | None
    total: Decimal | None
    unit: str
    doubt: str
    lends: Money | None
    loan: Loan | None
    asks_taps: bool
    codes: tuple[Issued, ...]
    is_online: bool


@dataclass(frozen=True, slots=True)
class AccountView:
    """path is the address of the account's own page; rules say what service fee is kept of a top-up.

    phone is masked, empty where none is known; is_told: a text message says that a top-up has arrived.
    """

    path: str
    room: str
    room_id: UUID
    site: str
    timezone: str
    holder: str
    purses: tuple[PurseView, ...]
    recent: tuple[TopUpLine, ...]
    unpaid: tuple[Unpaid, ...]
    rules: Rules = NO_RULES
    phone: str = ""
    is_told: bool = False

    @property
    def power_purses(self) -> frozenset[UUID]:
        return frozenset(purse.purse_id for purse in self.purses if purse.is_power)

    @property
    def is_urgent(self) -> bool:
        """Whether a purse needs attention, so that the others step back."""
        return any(purse.notice is not None for purse in self.purses)

    def purse(self, purse_id: UUID) -> PurseView | None:
        return next((purse for purse in self.purses if purse.purse_id == purse_id), None)

    @property
    def neediest(self) -> PurseView | None:
        """The purse that a top-up is most likely meant for."""
        return min(
            self.purses,
            key=lambda purse: (_GRAVEST[purse.state.key], not purse.state.is_low),
            default=None,
        )


_GRAVEST = {
    key: rank
    for rank, key in enumerate(("off", "armed", "turning-on", "turning-off", "unknown", "on"))
}


LENT = (CreditState.EC_SELECTED, CreditState.EC_IN_USE)


def view(
    home: TenantHome,
    unpaid: tuple[Unpaid, ...],
    issued: tuple[Issued, ...],
    path: str,
    rules: Rules = NO_RULES,
) -> AccountView:
    by_purse: dict[UUID, list[PointCard]] = {}
    for point in home.points:
        if point.purse_id is None:
            continue  # it is measured, and not theirs to pay for
        by_purse.setdefault(point.purse_id, []).append(point)
    return AccountView(
        path=path,
        room=home.room,
        room_id=home.room_id,
        site=home.site,
        timezone=home.timezone,
        holder=home.holder,
        purses=tuple(
            _purse(purse_id, points, tuple(each for each in issued if each.purse_id == purse_id))
            for purse_id, points in by_purse.items()
        ),
        recent=home.recent,
        unpaid=one_of_each(unpaid),
        rules=rules,
        phone=masked(home.phone),
        is_told=home.is_told,
    )


def _purse(purse_id: UUID, points: list[PointCard], issued: tuple[Issued, ...]) -> PurseView:
    gravest = min(points, key=lambda point: _GRAVEST[of_point(point).key])
    state = of_point(gravest)
    is_power = gravest.commodity == "electricity"
    lasting = [point.days_left for point in points if point.days_left is not None]
    return PurseView(
        purse_id=purse_id,
        is_power=is_power,
        balance=gravest.balance,
        days_left=min(lasting, default=None),
        state=state,
        notice=_notice(gravest, state, is_power=is_power),
        read_at=min((p.read_at for p in points if p.read_at is not None), default=None),
        total=gravest.total if len(points) == 1 else None,
        unit=gravest.unit,
        doubt=_doubt(points),
        lends=max((point.lends for point in points if point.lends is not None), default=None),
        loan=gravest.loan,
        asks_taps=any(
            point.why in ASKS_TAPS and point.supply is Supply.OFF and not point.is_taps_said
            for point in points
        ),
        codes=issued,
        is_online=all(point.gateway_online for point in points),
    )


def _notice(point: PointCard, state: PointState, *, is_power: bool) -> Notice | None:
    icon, tone = state.look.icon, state.look.tone
    match state.key:
        case "off" if point.why in ASKS_TAPS and point.is_taps_said:
            return Notice(
                N_("Your answer is on its way"),
                N_("Supply comes back as soon as your meter has heard it."),
                "refresh",
                Tone.BUSY,
            )
        case "off" if point.why is Why.TAPS:
            return _taps(is_power=is_power)
        case "off" | "turning-off" if point.why is Why.LEAK:
            return Notice(
                N_("Water is shut off: a leak is suspected"),
                N_(
                    "A lot of water ran without a break when it came back. Your credit stays. Close every tap, "
                    "look for a burst hose or pipe, then say so."
                ),
                "alert",
                Tone.BAD,
            )
        case "off" if is_credit_on_its_way(point):
            return Notice(
                N_("Credit is on its way"),
                N_("Your top-up is booked. Supply comes back as soon as your meter has it."),
                "refresh",
                Tone.BUSY,
            )
        case "off" if point.why is Why.NO_CREDIT and point.credit in LENT:
            return Notice(
                N_("Emergency credit is on its way"),
                N_("Supply comes back as soon as your meter has heard it."),
                "refresh",
                Tone.BUSY,
            )
        case "off" if point.why is Why.NO_CREDIT and is_power:
            title, advice = (
                N_("Power is cut: balance used up"),
                N_("Top up and it comes back by itself, day or night."),
            )
        case "off" if point.why is Why.NO_CREDIT:
            title, advice = (
                N_("Water is cut: balance used up"),
                N_("Top up and it comes back by itself, day or night."),
            )
        case "off":
            title, advice = (
                N_("Supply is off"),
                N_("It was not cut for the balance. Please ask your property manager."),
            )
        case "armed":
            title, advice = (
                N_("Press the button on your meter"),
                N_("There is credit again. Press the button on your meter to switch on."),
            )
        case "turning-on":
            title, advice = N_("Switching on"), N_("There is credit again. This takes a moment.")
        case "turning-off":
            title, advice = N_("Balance used up"), N_("Supply is being cut. Top up to keep it.")
        case "on" if point.why is Why.PROTECTED:
            return Notice(
                N_("Protected from cut-off"),
                N_("Supply stays on even without credit."),
                "check",
                Tone.GOOD,
            )
        case "on" if point.why is Why.EMERGENCY:
            return Notice(
                N_("On emergency credit"),
                N_("You are supplied on what was lent. Your next top-up pays it back first."),
                "alert",
                Tone.WARN,
            )
        case "on" if point.is_held:
            return Notice(
                N_("Reading is being checked"),
                N_("Nothing is charged until it has been looked at."),
                "help",
                Tone.WARN,
            )
        case "on" if state.is_low:
            return Notice(
                N_("Balance is low"), N_("Top up soon to keep the supply on."), "alert", Tone.WARN
            )
        case _:
            return None
    return Notice(title, advice, icon, tone)


def _taps(*, is_power: bool) -> Notice:
    if is_power:
        return Notice(
            N_("Power is ready to come back"),
            N_("It was off for long. First switch off heaters, irons and cookers, then say so."),
            "hand-finger",
            Tone.WARN,
        )
    return Notice(
        N_("Water is ready to come back"),
        N_("It was off for long. First close every tap, so that nothing is flooded, then say so."),
        "hand-finger",
        Tone.WARN,
    )


def _doubt(points: list[PointCard]) -> str:
    """Why the figures may not be today's, as a message id; empty where they are."""
    if any(not point.gateway_online for point in points):
        return N_("The gateway is offline, so the balance may be late. Metering goes on.")
    if any(point.is_silent for point in points):
        return N_("The meter does not answer at the moment, so the balance may be late.")
    return ""
