"""The pages of a draft: the form, the document, the checks, a trial, the rehearsal, and the proposal."""

from __future__ import annotations

import json
from datetime import date, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select
from sqlmodel import Session, col
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services import approvals, scopes
from cloud.services.tariffs import drafts, rehearsal
from cloud.services.tariffs.drafts import Draft
from cloud.tables import Room, Site, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.estate import forms
from dashboards.manager.outcome import outcome
from dashboards.manager.tariffs import drawings, form, trial
from dashboards.manager.tariffs.pages import Edit, See, first_of_next_month
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from dashboards.tariff_words import Say
from prepaid.money import Money
from prepaid.tariff_document import BadTariff, parse

router = APIRouter(include_in_schema=False, prefix="/tariffs")

SHOWN = 200  # of the points of a rehearsal


class NoJson(CloudError):
    status = 422
    sentence = "This is no JSON document: look at line {line}, column {column}. Nothing was saved."


async def typed(request: Request) -> FormData:
    """All fields of a form whose fields are many."""
    return await request.form()


Typed = Annotated[FormData, Depends(typed)]


@router.post("/drafts")
def begin(user: Edit, session: UserSession) -> Response:
    """A new tariff: an example to be written over."""
    now = utc_now()
    empty = form.Form(code="", effective=first_of_next_month(now)[:16], prices=[{"all": "0.50"}])
    begun = drafts.begin(session, user, form.written(empty, {}, replaces=0), now=now)
    return RedirectResponse(f"/tariffs/drafts/{begun.id}", status_code=303)


@router.get("/drafts/{draft_id:uuid}")
def draft(
    request: Request,
    draft_id: UUID,
    user: See,
    session: UserSession,
    used: str = "",
    before: str = "",
) -> Response:
    return _page(request, session, user, draft_id, used=used, before=before)


@router.post("/drafts/{draft_id:uuid}/form")
def save_form(
    request: Request, draft_id: UUID, user: Edit, session: UserSession, typed: Typed
) -> Response:
    now = utc_now()

    def do() -> None:
        found = drafts.one(session, user, draft_id, now=now)
        given = form.read(typed)
        stays = len(found.document.get("versions", [])) - 1 if found.published else 0
        document = form.written(given, found.document, replaces=max(stays, 0))
        drafts.change(session, user, draft_id, document, now=now)

    again = partial(_page, request, session, user, draft_id)
    return outcome(request, session, do, again, to=f"/tariffs/drafts/{draft_id}")


@router.post("/drafts/{draft_id:uuid}/document")
def save_document(
    request: Request,
    draft_id: UUID,
    user: Edit,
    session: UserSession,
    document: Annotated[str, Form()] = "",
) -> Response:
    def do() -> None:
        try:
            found = json.loads(document)
        except json.JSONDecodeError as error:
            raise NoJson(line=error.lineno, column=error.colno) from None
        except (ValueError, RecursionError):  # a number or a nesting that nobody can mean
            raise NoJson(line=1, column=1) from None
        drafts.change(session, user, draft_id, found, now=utc_now())

    return outcome(
        request,
        session,
        do,
        partial(_page, request, session, user, draft_id),
        to=f"/tariffs/drafts/{draft_id}",
        form="document",
        typed={"document": document},
        names={"": "document"},
    )


@router.post("/drafts/{draft_id:uuid}/drop")
def drop(request: Request, draft_id: UUID, user: Edit, session: UserSession) -> Response:
    def do() -> None:
        drafts.drop(session, user, draft_id, now=utc_now())

    again = partial(_page, request, session, user, draft_id)
    return outcome(request, session, do, again, to="/tariffs")


@router.post("/drafts/{draft_id:uuid}/propose")
def propose(
    request: Request,
    draft_id: UUID,
    user: Edit,
    session: UserSession,
    why: Annotated[str, Form()] = "",
) -> Response:
    def do() -> None:
        drafts.propose(session, user, draft_id, why=why, now=utc_now())

    again = partial(_page, request, session, user, draft_id)
    to = f"/tariffs/drafts/{draft_id}"
    return outcome(request, session, do, again, to=to, form="propose", typed={"why": why})


@router.post("/drafts/{draft_id:uuid}/withdraw")
def withdraw(request: Request, draft_id: UUID, user: Edit, session: UserSession) -> Response:
    now = utc_now()

    def do() -> None:
        found = drafts.one(session, user, draft_id, now=now)
        if found.proposal is not None:
            approvals.withdraw(session, user, found.proposal.id, now=now)

    again = partial(_page, request, session, user, draft_id)
    return outcome(request, session, do, again, to=f"/tariffs/drafts/{draft_id}")


@router.post("/drafts/{draft_id:uuid}/rehearse")
def rehearse(
    request: Request,
    draft_id: UUID,
    user: Edit,
    session: UserSession,
    days: Annotated[str, Form()] = "90",
    site: Annotated[UUID | None, Form()] = None,
) -> Response:
    now = utc_now()
    until = now.astimezone(form.ZONE).date()

    def do() -> str:
        asked = rehearsal.request(
            session,
            user,
            draft_id,
            site_id=site,
            since=until - timedelta(days=forms.whole(days, field="days")),
            until=min(until, now.date()),
            now=now,
        )
        return f"/tariffs/rehearsals/{asked.id}"

    return outcome(
        request,
        session,
        do,
        partial(_page, request, session, user, draft_id),
        form="rehearse",
        typed={"days": days, "site": str(site or "")},
        names={"since": "days"},
    )


@router.get("/rehearsals/{rehearsal_id:uuid}")
def rehearsed(request: Request, rehearsal_id: UUID, user: See, session: UserSession) -> Response:
    row = rehearsal.one(session, rehearsal_id)
    result: dict[str, Any] = row.result or {"points": [], "months": [], "old": 0, "new": 0}
    seen = {
        str(each)
        for each in session.execute(select(col(Room.id)).where(scopes.rooms_of(user))).scalars()
    }
    points = [each for each in result["points"] if each["room_id"] in seen]
    more = [each for each in points if each["new"] > each["old"]]
    less = [each for each in points if each["new"] < each["old"]]
    return page.render(
        request,
        "manager/rehearsal.html",
        rehearsal=row,
        code=row.document.get("code"),
        points=points[:SHOWN],
        count=len(points),
        more=len(more),
        less=len(less),
        cut=[each for each in points if each["cut_on"]],
        old=Money(result["old"]),
        new=Money(result["new"]),
        unread=result.get("unread", 0),
        changes=drawings.changes(points),
        income=drawings.income(result["months"]),
        money_of=Money,
        date_of=date.fromisoformat,
        **top(session, user),
    )


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    draft_id: UUID,
    told: Mistake | None = None,
    *,
    used: str = "",
    before: str = "",
) -> Response:
    now, say, told = utc_now(), page.say(request), told or Mistake()
    found = drafts.one(session, user, draft_id, now=now)
    return page.render(
        request,
        "manager/tariff_draft.html",
        status=told.status,
        mistake=told,
        at=f"/tariffs/drafts/{draft_id}",
        draft=found,
        form=form.shown(found.document) or _unread(found),
        bands=form.BANDS,
        sizes=(form.HOURS, form.TIERS, form.FURTHER),
        document=told.within("document").value("document", _text(found.document)),
        days=_days(found.document, say),
        unit=found.document.get("unit", ""),
        trial=_trial(found, used, before, say, now),
        used=used,
        before=before,
        rehearsals=rehearsal.of_draft(session, draft_id),
        sites=session.execute(select(Site).where(scopes.sites_of(user))).scalars().all(),
        may_edit=user.may(Permission.EDIT_TARIFFS),
        **top(session, user),
    )


def _unread(draft: Draft) -> form.Form | None:
    """Nothing for a document that is more than a form shows, an empty form for one that is nothing yet."""
    return None if draft.document.get("versions") else form.Form()


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2)


def _days(document: Any, say: Say) -> list[drawings.Day]:
    try:
        return drawings.days(parse(document).versions[-1], say)
    except BadTariff:
        return []


def _trial(
    draft: Draft, used: str, before: str, say: Say, now: Any
) -> dict[str, trial.Trial] | None:
    quantity = trial.quantity(used or "200")
    counted = trial.quantity(before or "0")
    if quantity is None or counted is None:
        return None
    try:
        found = {"new": trial.work_out(draft.document, quantity, counted, say, now=None)}
    except BadTariff:
        return None
    if draft.published is not None:
        found["old"] = trial.work_out(draft.published, quantity, counted, say, now=now)
    return found
