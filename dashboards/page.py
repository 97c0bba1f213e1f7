"""Renders pages: templates, languages, how money and time are written, and what a page may load."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from jinja2.runtime import Context
from starlette.requests import HTTPConnection
from starlette.responses import HTMLResponse

from cloud.said import said_again
from dashboards import (
    alarm_reasons,
    alarm_words,
    browser_words,
    entry_words,
    measured_words,
    refusal_words,
    sentences,
    state,
    tariff_faults,
    tariff_words,
)
from dashboards.manager import menu
from dashboards.mistake import Mistake
from dashboards.words import CATALOGUES, LANGUAGES, language_of
from prepaid import decimals, offline_code
from prepaid.money import Money

HERE = Path(__file__).parent
STATIC = HERE / "static"
NEEDED = (
    "htmx.min.js",
    "hx-sse.min.js",
    "weui.min.css",
    "tabler.min.css",
    "tabler-icons.min.css",
    "fonts/tabler-icons.woff2",
)
TIMEZONE = sentences.TIMEZONE
PROTOCOLS = {
    "dlt645-2007": "DL/T 645-2007",
    "dlt645-1997": "DL/T 645-1997",
    "cjt188-2004": "CJ/T 188-2004",
    "modbus": "Modbus",
}
UNITS = {"kWh": "kWh", "m3": "m³"}


class VendorFilesMissing(RuntimeError):
    """The pages' style sheets and scripts were not brought in when Wattwell was installed."""


def check_vendor(static: Path) -> None:
    """Raises VendorFilesMissing if a style sheet or script that the pages load is not there."""
    missing = [name for name in NEEDED if not (static / "vendor" / name).is_file()]
    if missing:
        raise VendorFilesMissing(
            f"the pages' files {', '.join(missing)} are missing below {static / 'vendor'}; "
            "install Wattwell again to bring them: pip install --force-reinstall --no-deps -e . "
            "(or: make clean setup)"
        )


check_vendor(STATIC)

VERSIONS = {
    path.relative_to(STATIC).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:10]
    for path in sorted(STATIC.rglob("*"))
    if path.is_file()
}


def static(name: str) -> str:
    """The address of a file in dashboards/static. It changes with the content, so a browser may keep it for good."""
    return f"/static/{name}?v={VERSIONS[name]}"


def money(amount: Money) -> str:
    """¥1,234.50, and −¥3.20 below zero."""
    sign = "−" if amount.fen < 0 else ""
    return f"{sign}¥{abs(amount.in_yuan()):,.2f}"


def quantity(total: Decimal, unit: str) -> str:
    """A register to 0.01 of its unit, never more than it has reached: 1234.56 kWh, 7.20 m³."""
    return f"{total.quantize(Decimal('0.01'), ROUND_DOWN)} {UNITS[unit]}"


def days(left: Decimal) -> str:
    """Days left as a number to plan with: whole from ten on, to a tenth below, never more than is left."""
    step = Decimal(1) if left >= 10 else Decimal("0.1")
    return str(left.quantize(step, ROUND_DOWN))


@jinja2.pass_context
def clock(context: Context, at: datetime) -> str:
    """An instant in the site's time: 23:05:12 today, 11-20 23:05 on another day, 2025-11-20 23:05 in another year."""
    zone = ZoneInfo(context["timezone"])
    local, today = at.astimezone(zone), context["now"].astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M:%S}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


@jinja2.pass_context
def moment(context: Context, at: datetime) -> str:
    """An instant to the minute in the site's time, with the date where it is not today: 18:30, 11-20 08:00."""
    zone = ZoneInfo(context["timezone"])
    local, today = at.astimezone(zone), context["now"].astimezone(zone)
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local:%m-%d %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"


def _environment(language: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PrefixLoader(
            {
                "shared": jinja2.FileSystemLoader(HERE / "templates"),
                "manager": jinja2.FileSystemLoader(HERE / "manager" / "templates"),
                "tenant": jinja2.FileSystemLoader(HERE / "tenant" / "templates"),
            }
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(CATALOGUES[language], newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {"money": money, "quantity": quantity, "days": days, "clock": clock}
    environment.filters |= {"unit": lambda unit: UNITS.get(unit, unit)}
    environment.filters |= {"moment": moment, "code": offline_code.shown}
    environment.filters |= {"exact": decimals.written}
    say = CATALOGUES[language].gettext
    environment.filters |= {
        "band_word": lambda name: tariff_words.band(name, say),
        "item_word": lambda name: tariff_words.item(name, say),
        "fault_word": lambda fault: tariff_faults.said(fault, say),
        "alarm_said": lambda alarm: alarm_reasons.said(alarm, say),
        "entry_word": lambda text: entry_words.said(text, say),
        "refusal_word": lambda refused: refusal_words.said(refused, say),
        "said": lambda words: sentences.said(language, words),
        "said_again": lambda written: sentences.said(language, said_again(written)),
        "protocol_word": lambda name: PROTOCOLS.get(name, name),
    }
    environment.filters |= {
        "browser_word": lambda agent: browser_words.said(agent, say),
        "is_phone": browser_words.is_phone,
    }
    environment.globals |= {
        "static": static,
        "language": language,
        "languages": LANGUAGES,
        "point_state": state.of_point,
        "room_state": state.of_room,
        "looks": state.FLAGS,
        "always": state.ALWAYS_COUNTED,
        "reasons": state.REASONS,
        "credit_looks": state.CREDIT,
        "alarm_looks": alarm_words.ALARMS,
        "troubles_said": alarm_words.TROUBLES,
        "findings_said": alarm_words.FINDINGS,
        "measurands": measured_words.MEASURANDS,
        "band_words": tariff_words.BANDS,
        "menu_of": menu.menu_of,
        "is_here": menu.is_here,
    }
    return environment


_ENVIRONMENTS = {language: _environment(language) for language in LANGUAGES}


def fragment(language: str, template: str, **values: Any) -> str:
    """The HTML of a template in one language. Times are the site's: pass timezone where it is known."""
    values = {"timezone": TIMEZONE, "now": datetime.now(UTC)} | values
    return _ENVIRONMENTS[language].get_template(template).render(values)


def render(
    request: HTTPConnection,
    template: str,
    *,
    status: int = 200,
    form_targets: tuple[str, ...] = (),
    **values: Any,
) -> HTMLResponse:
    """The page of a template in the language the request asks for.

    form_targets are the origins, beside our own, where a form of this page may end up.
    """
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    asking = getattr(request.state, "user", None)  # who is signed in, on a page of staff
    values = {"here": here, "asking": asking, "mistake": Mistake()} | values
    html = values["mistake"].placed(fragment(language_of(request), template, **values))
    forms = " ".join(("'self'", *form_targets))
    headers = {
        # Scripts and styles come from our own /static and nowhere else; nothing inline is run.
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action {forms}",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        # A page says what was true when it was made, and belongs to one person.
        "Cache-Control": "no-store",
        "Vary": "Cookie, Accept-Language, Accept-Encoding",
    }
    content = html.encode()
    if takes_gzip(request):
        # Here and not around the whole program, so that streams of events are sent as they happen.
        content = gzip.compress(content, compresslevel=6, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return HTMLResponse(content, status_code=status, headers=headers)


def takes_gzip(request: HTTPConnection) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def say(request: HTTPConnection) -> Callable[[str], str]:
    """Translates into the language the request asks for."""
    return CATALOGUES[language_of(request)].gettext
