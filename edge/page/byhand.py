"""What a customer asks for at the gateway: an offline code typed, emergency credit taken, taps said to be closed."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from edge import codes
from edge.codes import Refused
from edge.field.said import Said, Tone, said
from edge.page import points
from edge.page.door import desk_of, form_of
from edge.page.render import money
from edge.page.session import Session
from edge.page.words import language_of, refused

LONGEST_TYPED = 40  # of what is shown again to whoever mistyped it


async def code(request: Request, session: Session) -> Response:
    """Types an offline code for the purse that pays for a point."""
    desk, point = desk_of(request), points.asked(request)
    typed = str((await form_of(request)).get("code", ""))
    try:
        entered = codes.enter(desk.room.store, desk.code_key, typed, point.purse, desk.room.now())
    except Refused as error:
        return points.point_page(
            request, session, problem=_problem(request, error), typed=typed[:LONGEST_TYPED]
        )
    sentence = said(
        "%(amount)s credited; the balance is %(available)s.",
        Tone.GOOD,
        amount=money(entered.amount),
        available=money(entered.available),
    )
    return points.point_page(request, session, done=sentence)


async def emergency(request: Request, session: Session) -> Response:
    """Takes the emergency credit that the purse of a point is offered."""
    room, point = desk_of(request).room, points.asked(request)
    try:
        amount = codes.take_emergency(room.store, point.purse, room.now())
    except Refused as error:
        return points.point_page(request, session, problem=_problem(request, error))
    sentence = said(
        "%(amount)s is lent; the next top-up repays it.", Tone.GOOD, amount=money(amount)
    )
    return points.point_page(request, session, done=sentence)


async def taps(request: Request, session: Session) -> Response:
    """Says that all taps behind a point are closed, so that its supply may come back."""
    room, point = desk_of(request).room, points.asked(request)
    try:
        codes.close_taps(room.store, point.id, room.now())
    except Refused as error:
        return points.point_page(request, session, problem=_problem(request, error))
    return points.point_page(request, session, done=said("The supply comes back now.", Tone.GOOD))


def _problem(request: Request, error: Refused) -> Said:
    """In the language of the page already."""
    text = refused(error, language_of(request), desk_of(request).zone())
    return Said("%(text)s", Tone.BAD, {"text": text})
