"""What the forms of a service point ask for: each is read, checked and handed to the service that does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Session
from starlette.datastructures import FormData

from cloud.auth import SignedIn
from cloud.services.devices import (
    changes,
    decisions,
    examinations,
    models,
    mountings,
    particulars,
    points,
)
from cloud.services.devices.exchanges import Registers
from cloud.services.devices.particulars import Particulars
from cloud.services.devices.photos import Picture
from dashboards.manager import typed
from dashboards.manager.estate import forms
from prepaid.point import KEYS, Meter


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody's form about a service point, and when it came (UTC)."""

    session: Session
    user: SignedIn
    point_id: UUID
    form: FormData
    now: datetime

    def text(self, name: str) -> str:
        return typed.text(self.form, name)

    def number(self, name: str) -> Decimal:
        """Raises NoNumber, of that field."""
        return forms.number(self.text(name), field=name)

    def number_or(self, name: str, other: str) -> Decimal:
        """Raises NoNumber; other where nothing was typed."""
        return forms.number(self.text(name) or other, field=name)

    def whole(self, name: str) -> int:
        """Raises NoNumber, of that field."""
        return forms.whole(self.text(name), field=name)

    def instant(self, name: str) -> datetime:
        """Raises NoTime, of that field."""
        return forms.instant(self.text(name), field=name)

    def pictures(self, **names: str) -> list[Picture]:
        """The photographs of these fields, by what they show."""
        return forms.pictures(**{of: typed.upload(self.form, name) for of, name in names.items()})

    def registers(self) -> Registers:
        """What was closed and opened. Raises NoNumber or NoTime."""
        return Registers(
            closing=self.number("closing"),
            closed_at=self.instant("closed_at"),
            opening=self.number("opening"),
            opened_at=self.instant("opened_at"),
            rounds=self.whole("rounds"),
            between=self.number_or("between", "0"),
            estimate_stands=bool(self.text("estimate_stands")),
            was_read=self.was_read(),
        )

    def was_read(self) -> bool:
        """Whether the closing reading is the one that the page showed, and nobody's own."""
        photo = typed.upload(self.form, "closing_photo")
        is_proved = photo is not None and bool(photo.filename)
        return not is_proved and self.text("closing") == self.text("shown_closing") != ""


def read(act: Act) -> None:
    """The gateway is asked to read the meter now."""
    points.read_now(act.session, act.point_id, by=act.user)


def change(act: Act) -> None:
    old = _device(act)
    kind = models.of_key(act.text("model"))
    number = act.text("meter_no")
    new = kind.meter(
        meter_no=number,
        line=act.text("line"),
        address=act.text("address") or number,
        multiplier=act.number_or("multiplier", "1"),
        settings=settings(kind, typed.texts(act.form), old),
    )
    changes.change_meter(
        act.session,
        act.point_id,
        new,
        act.registers(),
        model=kind.key,
        why=act.text("why"),
        pictures=act.pictures(closing="closing_photo", opening="opening_photo"),
        by=act.user,
        now=act.now,
    )


def correct(act: Act) -> None:
    """What is typed otherwise than it is entered; of a key, what is typed at all."""
    entered = _device(act)

    def other(name: str) -> str | None:
        typed = act.text(name)
        return typed if typed and typed != str(getattr(entered, name)) else None

    def number(name: str) -> Decimal | None:
        found = act.number(name) if other(name) else None
        return found if found != getattr(entered, name) else None

    given = Particulars(
        model=act.text("model") or None,
        meter_no=other("meter_no"),
        line=other("line"),
        address=other("address"),
        digits=act.whole("digits") if other("digits") else None,
        step=number("step"),
        max_per_hour=number("max_per_hour"),
        multiplier=number("multiplier"),
        settings={key: act.text(key) for key in (*KEYS, *particulars.RATIOS) if act.text(key)},
    )
    particulars.correct(
        act.session, act.point_id, given, why=act.text("why"), by=act.user, now=act.now
    )


def unlink(act: Act) -> None:
    particulars.undo_link(act.session, act.point_id, why=act.text("why"), by=act.user, now=act.now)


def transformers(act: Act) -> None:
    """The multiplier, and the ratios of a meter that multiplies by itself."""
    old, at = _device(act), act.instant("at")
    closing = act.number("closing")
    changes.change_transformers(
        act.session,
        act.point_id,
        multiplier=act.number("multiplier"),
        settings={
            key: act.text(key)
            for key in ("pt", "ct")
            if act.text(key) and act.text(key) != old.settings.get(key)
        },
        registers=Registers(
            closing, at, act.number_or("opening", str(closing)), at, was_read=act.was_read()
        ),
        why=act.text("why"),
        pictures=act.pictures(closing="closing_photo"),
        by=act.user,
        now=act.now,
    )


def take_down(act: Act) -> None:
    changes.take_down(
        act.session,
        act.point_id,
        closing=act.number("closing"),
        at=act.instant("at"),
        rounds=act.whole("rounds"),
        was_read=act.was_read(),
        why=act.text("why"),
        pictures=act.pictures(closing="closing_photo"),
        by=act.user,
        now=act.now,
    )


def calibrate(act: Act) -> None:
    found = decisions.point_of(act.session, act.point_id, act.user)
    on = forms.day(act.text("on"), field="on")
    if on is None:
        raise forms.NoTime(field="on", text="")
    certificate = act.text("certificate")
    examinations.calibrate(
        act.session,
        mountings.now_at(act.session, found.id).meter_id,
        on=on,
        passed=act.text("passed") == "yes",
        certificate=certificate,
        due=forms.day(act.text("due"), field="due"),
        why=act.text("why") or certificate,
        pictures=act.pictures(other="photo"),
        by=act.user,
        now=act.now,
    )


def dispute(act: Act) -> None:
    """The last reading is doubted by the customer."""
    examinations.dispute_last(
        act.session,
        act.point_id,
        why=act.text("why"),
        pictures=act.pictures(other="photo"),
        by=act.user,
        now=act.now,
    )


def settle(act: Act, event_id: UUID) -> None:
    is_upheld = act.text("upheld") == "yes"
    examinations.settle_dispute(
        act.session, event_id, upheld=is_upheld, why=act.text("why"), by=act.user, now=act.now
    )


def mend(act: Act, event_id: UUID) -> None:
    changes.mend(
        act.session,
        event_id,
        act.registers(),
        why=act.text("why"),
        pictures=act.pictures(closing="closing_photo"),
        by=act.user,
        now=act.now,
    )


def decide(act: Act) -> None:
    """A reading in doubt is let go on, one way or the other; or an estimate is charged."""
    why, pictures = act.text("why"), act.pictures(other="photo")
    match act.text("what"):
        case "accept":
            decisions.accept(
                act.session,
                act.point_id,
                seen_at=act.instant("seen_at"),
                rounds=act.whole("rounds"),
                why=why,
                pictures=pictures,
                by=act.user,
                now=act.now,
            )
        case "restart":
            decisions.restarted(
                act.session,
                act.point_id,
                closing=act.number("closing"),
                opening=act.number_or("opening", "0"),
                at=act.instant("at"),
                why=why,
                pictures=pictures,
                by=act.user,
                now=act.now,
            )
        case "estimate":
            moved = act.number("moved") if act.text("moved") else None
            decisions.estimate(
                act.session, act.point_id, moved=moved, why=why, by=act.user, now=act.now
            )
        case _:
            decisions.dismiss(act.session, act.point_id, why=why, by=act.user, now=act.now)


def settings(kind: models.Model, given: Mapping[str, str], old: Meter | None) -> dict[str, str]:
    """What was typed, and where nothing was what the meter before had: the same company sets them alike."""
    known = old.settings if old is not None and old.protocol == kind.protocol else {}
    found = {key: given.get(key, "").strip() or known.get(key, "") for key in kind.asks}
    return {key: value for key, value in found.items() if value}


def _device(act: Act) -> Meter:
    found: Meter = mountings.METER.validate_python(
        decisions.point_of(act.session, act.point_id, act.user).meter
    )
    return found
