"""Handover 换付费人: from which register on another purse, or nobody, pays for what a service point uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal, localcontext

from prepaid.decimals import EXACT
from prepaid.point import Meter, Opening, ServicePoint
from prepaid.rating import Charge, Position, open_position, payer_of, rate
from prepaid.reading import Reading
from prepaid.register.reach import ahead_of, round_of
from prepaid.tariff import Tariff

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Handover:
    """closed is where the payer before stops, with what is charged until then; opened where the present one
    begins, at the same register and time; after where that one stands at the reading, and is charged for it."""

    closed: Position
    closing_charges: tuple[Charge, ...]
    opened: Position
    after: Position
    charges: tuple[Charge, ...]


def is_due(point: ServicePoint, position: Position) -> bool:
    """Whether somebody else pays now than the position says."""
    return position.payer is not None and position.payer != payer_of(point)


def hand_over(
    point: ServicePoint, tariff: Tariff, before: Position, reading: Reading, *, moved: Decimal
) -> Handover:
    """The payer before pays up to the register where the point's opening says that the present one begins, and the
    present one from there to this reading; without an opening the register of the reading divides them.

    An opening that lies before what is charged already begins there, one that lies beyond the reading at the
    reading: a gateway takes nothing back, and charges nobody for what was not used. moved is as for rate.
    A new position counts its tiers from nothing.

    Raises what rate raises.
    """
    border, until = _border(point, before.reading, reading, moved)
    closed, closing_charges = rate(point, tariff, before, border, moved=until)
    opened = open_position(point, tariff, border)
    if border == reading:
        return Handover(closed, closing_charges, opened, opened, ())
    with localcontext(EXACT):
        left = moved - until
    after, charges = rate(point, tariff, opened, reading, moved=left)
    return Handover(closed, closing_charges, opened, after, charges)


def _border(
    point: ServicePoint, before: Reading, reading: Reading, moved: Decimal
) -> tuple[Reading, Decimal]:
    """The reading that divides the payers, and how far the register had gone then since the one before."""
    if point.opening is None:
        return reading, moved
    until = _until(point.opening, before, reading, point.meter, moved)
    if until >= moved:
        return reading, moved
    # Never at the time of the reading before: by the time of its first reading a position's charges are named.
    at = min(max(point.opening.at, before.at + _INSTANT), reading.at)
    with localcontext(EXACT):
        total = (before.total + until) % round_of(point.meter)
    return replace(reading, at=at, total=total, supply=None, bands=None), until


def _until(
    opening: Opening, before: Reading, reading: Reading, meter: Meter, moved: Decimal
) -> Decimal:
    """How far the opening lies after the reading before, from nothing to moved: it may lie outside, or over a
    rollover, and then the nearer end counts."""
    typed = replace(before, total=opening.total)
    with localcontext(EXACT):
        ahead = ahead_of(before, typed, meter)
        if ahead <= moved:
            return ahead
        beyond, behind = ahead - moved, ahead_of(typed, before, meter)
        return moved if beyond < behind else Decimal(0)
