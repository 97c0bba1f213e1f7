"""The page of the audit log 审计日志: who did what, filtered, the newest first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Request
from sqlalchemy import select
from sqlmodel import col
from starlette.responses import Response

from cloud import web
from cloud.auth import NotAllowed, SignedIn
from cloud.permissions import Permission
from cloud.services import audit
from cloud.services.audit import Wanted
from cloud.services.people import audit_checks
from cloud.tables import User
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.people import fact_words
from dashboards.manager.people.act_words import ACTS
from dashboards.manager.top import top

router = APIRouter(include_in_schema=False, prefix="/audit")

A_PAGE = 100


@router.get("")
def log(
    request: Request,
    user: Annotated[SignedIn, Depends(web.allowed(Permission.SEE_AUDIT))],
    session: UserSession,
    who: str = "",
    act: str = "",
    thing: str = "",
    since: str = "",
    until: str = "",
    before: str = "",
) -> Response:
    """A filter that cannot be read is left out. Raises NotAllowed for one who does not see everything: what
    others did elsewhere is in the log, too."""
    if not user.scope.is_everywhere:
        raise NotAllowed
    first, last = _day(since), _day(until)
    wanted = Wanted(
        user_id=_id(who),
        act=act.strip() or None,
        subject_id=thing.strip()[:200].replace("\x00", "") or None,
        since=first,
        until=last + timedelta(days=1) if last else None,
        before=int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None,
    )
    say = page.say(request)
    found = audit.entries(session, user.organization_id, wanted, most=A_PAGE + 1)
    shown = found[:A_PAGE]
    chosen = {"who": who, "act": act, "thing": thing, "since": since, "until": until}
    people = select(User).where(col(User.organization_id) == user.organization_id)
    return page.render(
        request,
        "manager/people/audit.html",
        entries=[(entry, _changes(entry.before or {}, entry.after or {}, say)) for entry in shown],
        further=f"/audit?{urlencode(chosen | {'before': shown[-1].number})}"
        if len(found) > A_PAGE
        else None,
        chosen=chosen,
        people=session.execute(people.order_by(col(User.name))).scalars().all(),
        acts=audit.acts(session, user.organization_id),
        words=ACTS,
        act_words=_act_words(page.say(request)),
        checked=audit_checks.of(session, user),
        **top(session, user),
    )


def _act_words(say: Callable[[str], str]) -> dict[str, str]:
    """What each act is called; one that is done to several things by all of its names."""
    found: dict[str, list[str]] = {}
    for (_, act), word in ACTS.items():
        found.setdefault(act, []).append(say(word))
    return {act: " / ".join(words) for act, words in found.items()}


def _changes(
    before: dict[str, Any], after: dict[str, Any], say: Callable[[str], str]
) -> list[tuple[str, str | None, str | None]]:
    """What was and what is, for each fact where they differ and a person learns something by it."""
    keys = [*before, *(key for key in after if key not in before)]
    found = [
        (
            fact_words.label(key, say),
            fact_words.written(key, before.get(key), say),
            fact_words.written(key, after.get(key), say),
        )
        for key in keys
        if before.get(key) != after.get(key)
        and all(fact_words.is_for_people(key, each.get(key)) for each in (before, after))
        and f"{key}_fen" not in after
    ]
    return [each for each in found if each[1] is not None or each[2] is not None]


def _day(text: str) -> datetime | None:
    """The midnight that begins a day of the site's time."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    if not 2000 < day.year < 9000:
        return None
    return datetime.combine(day, time(), ZoneInfo(page.TIMEZONE))


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
