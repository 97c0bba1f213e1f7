"""The list of tariffs, one tariff with its versions, assignments and deliveries, and the acts upon them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import select, text
from sqlmodel import Session, col
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.permissions import Permission
from cloud.services import scopes
from cloud.services.tariffs import assignments, drafts, publication
from cloud.services.tariffs.assignments import NoSuchTariffHere
from cloud.tables import Site, TariffDocument, TariffPublication, utc_now
from cloud.web import UserSession
from dashboards import page
from dashboards.manager.estate import forms
from dashboards.manager.outcome import outcome
from dashboards.manager.tariffs import drawings
from dashboards.manager.tariffs.form import ZONE
from dashboards.manager.top import top
from dashboards.mistake import Mistake
from prepaid.tariff_document import parse

router = APIRouter(include_in_schema=False, prefix="/tariffs")

See = Annotated[SignedIn, Depends(web.allowed(Permission.SEE_TARIFFS))]
Edit = Annotated[SignedIn, Depends(web.allowed(Permission.EDIT_TARIFFS))]

_LIST = text("""
    SELECT d.id, d.code, d.commodity, d.unit, d.document,
           (SELECT count(*) FROM points p WHERE p.tariff_id = d.id) AS points,
           (SELECT max(number) FROM tariff_publications v WHERE v.tariff_id = d.id) AS number,
           (SELECT count(*) FROM tariff_deliveries t JOIN tariff_publications v ON v.id = t.publication_id
             WHERE v.tariff_id = d.id AND t.delivered_at IS NULL) AS waiting
    FROM tariffs d ORDER BY d.commodity, d.code
""")


@router.get("")
def all_tariffs(request: Request, user: See, session: UserSession) -> Response:
    now, say = utc_now(), page.say(request)
    rows = []
    for row in session.execute(_LIST):
        tariff = parse(row.document)
        version = tariff.versions[tariff.terms(now).version]
        coming = [each.effective_from for each in tariff.versions if each.effective_from > now]
        rows.append((row, version, drawings.days(version, say)[0], min(coming, default=None)))
    return page.render(
        request,
        "manager/tariffs.html",
        rows=rows,
        drafts=drafts.listed(session, user, now=now),
        may_edit=user.may(Permission.EDIT_TARIFFS),
        **top(session, user),
    )


@router.get("/{tariff_id:uuid}")
def tariff(request: Request, tariff_id: UUID, user: See, session: UserSession) -> Response:
    return _page(request, session, user, tariff_id)


def _page(
    request: Request,
    session: Session,
    user: SignedIn,
    tariff_id: UUID,
    told: Mistake | None = None,
) -> Response:
    """Raises NoSuchTariffHere. told: what was refused of one of the page's forms."""
    now, say = utc_now(), page.say(request)
    row = session.get(TariffDocument, tariff_id)
    if row is None:
        raise NoSuchTariffHere
    whole = parse(row.document)
    held = whole.terms(now).version
    published = session.execute(
        select(TariffPublication)
        .where(col(TariffPublication.tariff_id) == tariff_id)
        .order_by(col(TariffPublication.number).desc())
    ).scalars()
    return page.render(
        request,
        "manager/tariff.html",
        status=told.status if told else 200,
        mistake=told or Mistake(),
        at=f"/tariffs/{tariff_id}",
        tariff=row,
        versions=[
            (version, drawings.days(version, say), number == held)
            for number, version in enumerate(whole.versions)
        ],
        publications=list(published),
        deliveries=publication.deliveries(session, tariff_id),
        newest=publication.newest(session, tariff_id),
        assigned=assignments.listed(session, tariff_id, now=now),
        priced=assignments.priced(session, user, tariff_id, now=now),
        sites=session.execute(select(Site).where(scopes.whole_sites_of(user))).scalars().all(),
        classes=assignments.classes(session),
        candidates=_candidates(session, user, row.commodity),
        may_edit=user.may(Permission.EDIT_TARIFFS),
        **top(session, user),
    )


@router.post("/{tariff_id:uuid}/assign")
def assign(
    request: Request,
    tariff_id: UUID,
    user: Edit,
    session: UserSession,
    target: Annotated[str, Form()] = "",
    point: Annotated[UUID | None, Form()] = None,
    class_name: Annotated[str, Form()] = "",
    site: Annotated[UUID | None, Form()] = None,
    since: Annotated[str, Form()] = "",
) -> Response:
    now = utc_now()

    def do() -> None:
        assignments.assign(
            session,
            user,
            tariff_id,
            point_id=point if target == "point" else None,
            class_=class_name if target == "class" else None,
            site_id=site if target == "site" else None,
            since=forms.instant(since, field="since") if since else now,
            now=now,
        )

    typed = {
        "target": target,
        "point": str(point or ""),
        "class_name": class_name,
        "site": str(site or ""),
        "since": since,
    }
    about = {"": {"class": "class_name"}.get(target, target)}
    again = partial(_page, request, session, user, tariff_id)
    to = f"/tariffs/{tariff_id}"
    return outcome(request, session, do, again, to=to, form="assign", typed=typed, names=about)


@router.post("/{tariff_id:uuid}/end-assignment")
def end_assignment(
    request: Request,
    tariff_id: UUID,
    user: Edit,
    session: UserSession,
    assignment: Annotated[UUID, Form()],
) -> Response:
    def do() -> None:
        assignments.end(session, user, assignment, now=utc_now())

    again = partial(_page, request, session, user, tariff_id)
    return outcome(request, session, do, again, to=f"/tariffs/{tariff_id}")


@router.post("/{tariff_id:uuid}/class")
def set_class(
    request: Request,
    tariff_id: UUID,
    user: Edit,
    session: UserSession,
    point: Annotated[UUID, Form()],
    class_name: Annotated[str, Form()] = "",
) -> Response:
    def do() -> None:
        assignments.set_class(session, user, point, class_name, now=utc_now())

    return outcome(
        request,
        session,
        do,
        partial(_page, request, session, user, tariff_id),
        to=f"/tariffs/{tariff_id}#points",
        form=f"class-{point}",
        typed={"class_name": class_name},
        names={"": "class_name"},
    )


@router.post("/{tariff_id:uuid}/draft")
def draft_of(tariff_id: UUID, user: Edit, session: UserSession) -> Response:
    """A draft of the next version: a copy of the newest, to take effect on the first of next month."""
    row = session.get(TariffDocument, tariff_id)
    if row is None:
        raise NoSuchTariffHere
    now = utc_now()
    document = dict(row.document)
    if parse(document).versions[-1].effective_from <= now:
        following = {**document["versions"][-1], "effective_from": first_of_next_month(now)}
        document["versions"] = [*document["versions"], following]
    begun = drafts.begin(session, user, document, now=now)
    return RedirectResponse(f"/tariffs/drafts/{begun.id}", status_code=303)


def first_of_next_month(now: datetime) -> str:
    local = now.astimezone(ZONE)
    year, month = (local.year + 1, 1) if local.month == 12 else (local.year, local.month + 1)
    return datetime(year, month, 1, tzinfo=ZONE).isoformat()


def _candidates(session: Session, user: SignedIn, commodity: str) -> list[Any]:
    """The points that the tariff could be for."""
    rows = session.execute(
        text(f"""
            SELECT p.id, b.name || ' ' || r.name || ' ' || p.name AS name FROM points p
            JOIN rooms r ON r.id = p.room_id JOIN buildings b ON b.id = r.building_id
            WHERE p.commodity = :commodity AND p.organization_id = :organization AND {scopes.BUILDING}
            ORDER BY b.name, r.name, p.name
        """),
        {
            "commodity": commodity,
            "organization": user.organization_id,
            **scopes.given(user.scope),
        },
    )
    return list(rows)
