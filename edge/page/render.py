"""Renders the pages: templates, languages, how quantities and times are written, and what a page may load."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from edge.field.said import Said
from edge.page import looks
from edge.page.words import CATALOGUES, LANGUAGES, language_of, told
from edge.technician.both import Both
from prepaid.money import Money

HERE = Path(__file__).parent
STATIC = HERE / "static"
UNITS = {"kWh": "kWh", "m3": "m³"}
MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in MEDIA}
VERSIONS = {name: hashlib.sha256(content).hexdigest()[:10] for name, content in FILES.items()}


def static(name: str) -> str:
    """The address of a file; it changes with the content, so a browser may keep it for good."""
    return f"/static/{name}?v={VERSIONS[name]}"


def money(amount: Money) -> str:
    sign = "−" if amount.fen < 0 else ""
    return f"{sign}¥{abs(amount.in_yuan()):,.2f}"


def total(value: Decimal | None, unit: str = "") -> str:
    return "–" if value is None else f"{value} {UNITS.get(unit, unit)}".strip()


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1024 * 1024:
        return f"{count / 1024:.0f} KB"
    return f"{count / 1024 / 1024:.1f} MB"


@jinja2.pass_context
def clock(context: Context, at: datetime) -> str:
    """An instant there: 23:05:12 today, 11-20 23:05 on another day, with the year in another year."""
    zone: tzinfo = context["zone"]
    local, today = at.astimezone(zone), context["now"].astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def icon(name: str) -> Markup:
    """A drawing of looks.ICONS, in the colour of the text around it."""
    return Markup(
        '<svg class="icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
        'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="{}"/></svg>'
    ).format(looks.ICONS[name])


def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(CATALOGUES[language], newstyle=True)  # type: ignore[attr-defined]

    def said(sentence: Said) -> str:
        return told(sentence, language)

    def both(texts: Both | tuple[Both, ...]) -> str:
        lines = (texts,) if isinstance(texts, Both) else texts
        return "\n".join(text.in_(language) for text in lines)

    environment.filters |= {
        "both": both,
        "money": money,
        "total": total,
        "size": size,
        "clock": clock,
        "said": said,
    }
    environment.globals |= {
        "static": static,
        "icon": icon,
        "language": language,
        "languages": LANGUAGES,
        "supplies": looks.SUPPLIES,
        "whys": looks.WHYS,
        "alarm_words": looks.ALARMS,
        "trouble_words": looks.TROUBLES,
        "work_words": looks.WORKS,
        "holds": looks.HOLDS,
        "point_look": looks.of_point,
        "line_look": looks.of_line,
    }
    return environment


_ENVIRONMENTS = {language: _environment(language) for language in LANGUAGES}


def fragment(language: str, template: str, **values: Any) -> str:
    values = {"now": datetime.now(UTC)} | values
    return _ENVIRONMENTS[language].get_template(template).render(values)


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page of a template in the language that the request asks for."""
    html = fragment(language_of(request), template, here=request.url.path, **values)
    return HTMLResponse(html, status_code=status, headers=HEADERS)


HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; media-src 'self' blob:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
