"""The pages of webhooks 事件推送: where events go, what became of each, and sending again what was given up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request
from sqlmodel import Session
from starlette.responses import RedirectResponse, Response

from cloud import web
from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.permissions import Permission
from cloud.services.integration import webhooks
from cloud.services.integration.outbox import Event
from cloud.services.integration.webhooks import WebhookCard
from cloud.tables import utc_now
from cloud.web import UserSession
from dashboards import errors, page
from dashboards.manager.integration import words
from dashboards.manager.top import top

router = APIRouter(include_in_schema=False, prefix="/webhooks")

Integrator = Annotated[SignedIn, Depends(web.allowed(Permission.INTEGRATE))]


@dataclass(frozen=True, slots=True)
class Asked:
    """The form as it was sent."""

    url: str = "https://"
    events: list[str] = field(default_factory=lambda: [Event.TOPUP_CREDITED.value])

    def wanted(self) -> set[Event]:
        return {event for event in Event if event in self.events}


def asked(
    url: Annotated[str, Form()] = "", events: Annotated[list[str] | None, Form()] = None
) -> Asked:
    return Asked(url, events or [])


@router.get("")
def all_webhooks(request: Request, user: Integrator, session: UserSession) -> Response:
    return _all(request, session, user)


@router.post("")
def add(
    request: Request,
    user: Integrator,
    session: UserSession,
    asked: Annotated[Asked, Depends(asked)],
) -> Response:
    try:
        added = webhooks.add(session, url=asked.url, events=asked.wanted(), by=user, now=utc_now())
    except CloudError as error:
        return _all(request, session, user, form=asked, error=error)
    return RedirectResponse(f"/webhooks/{added}", status_code=303)


@router.get("/{webhook_id:uuid}")
def webhook(request: Request, webhook_id: UUID, user: Integrator, session: UserSession) -> Response:
    return _one(request, session, user, webhooks.one(session, user, webhook_id))


@router.post("/{webhook_id:uuid}")
def change(
    request: Request,
    webhook_id: UUID,
    user: Integrator,
    session: UserSession,
    asked: Annotated[Asked, Depends(asked)],
) -> Response:
    try:
        webhooks.change(
            session, webhook_id, url=asked.url, events=asked.wanted(), by=user, now=utc_now()
        )
    except CloudError as error:
        card = webhooks.one(session, user, webhook_id)
        return _one(request, session, user, card, form=asked, error=error)
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)


@router.post("/{webhook_id:uuid}/test")
def try_out(webhook_id: UUID, user: Integrator, session: UserSession) -> Response:
    webhooks.try_out(session, webhook_id, by=user, now=utc_now())
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)


@router.post("/{webhook_id:uuid}/secret")
def rotate(webhook_id: UUID, user: Integrator, session: UserSession) -> Response:
    webhooks.rotate(session, webhook_id, by=user, now=utc_now())
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)


@router.get("/{webhook_id:uuid}/end")
def ask_end(request: Request, webhook_id: UUID, user: Integrator, session: UserSession) -> Response:
    card = webhooks.one(session, user, webhook_id)
    if card.ended_at is not None:
        return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)
    return page.render(
        request, "manager/integration/end_webhook.html", card=card, **top(session, user)
    )


@router.post("/{webhook_id:uuid}/end")
def end(webhook_id: UUID, user: Integrator, session: UserSession) -> Response:
    webhooks.end(session, webhook_id, by=user, now=utc_now())
    return RedirectResponse("/webhooks", status_code=303)


@router.post("/{webhook_id:uuid}/deliveries")
def resend_all(webhook_id: UUID, user: Integrator, session: UserSession) -> Response:
    """Sends again whatever was given up."""
    webhooks.resend(session, webhook_id, None, by=user, now=utc_now())
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)


@router.post("/{webhook_id:uuid}/deliveries/{delivery_id:uuid}")
def resend(webhook_id: UUID, delivery_id: UUID, user: Integrator, session: UserSession) -> Response:
    webhooks.resend(session, webhook_id, delivery_id, by=user, now=utc_now())
    return RedirectResponse(f"/webhooks/{webhook_id}", status_code=303)


def _all(
    request: Request,
    session: Session,
    user: SignedIn,
    *,
    form: Asked | None = None,
    error: CloudError | None = None,
) -> Response:
    return page.render(
        request,
        "manager/integration/webhooks.html",
        status=error.status if error else 200,
        cards=webhooks.of_organization(session, user),
        at="/webhooks",
        **_form(request, form or Asked(), error, is_open=form is not None),
        **top(session, user),
    )


def _one(
    request: Request,
    session: Session,
    user: SignedIn,
    card: WebhookCard,
    *,
    form: Asked | None = None,
    error: CloudError | None = None,
) -> Response:
    kept = Asked(card.url, [event.value for event in card.events])
    return page.render(
        request,
        "manager/integration/webhook.html",
        status=error.status if error else 200,
        card=card,
        secret=webhooks.secret(request.app.state.settings.code_secret, card),
        deliveries=webhooks.deliveries(session, user, card.webhook_id),
        pretty=_pretty,
        faults=words.FAULTS,
        at=f"/webhooks/{card.webhook_id}",
        **_form(request, form or kept, error, is_open=form is not None),
        **top(session, user),
    )


def _form(
    request: Request, form: Asked, error: CloudError | None, *, is_open: bool
) -> dict[str, Any]:
    return {
        "form": form,
        "is_open": is_open,
        "mistake": errors.mistake(request, error),
        "event_words": words.EVENTS,
        "events": [event for event in Event if event is not Event.TEST],
    }


def _pretty(body: str) -> str:
    return json.dumps(json.loads(body), ensure_ascii=False, indent=2)
