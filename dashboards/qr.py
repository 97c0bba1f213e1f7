"""QR codes in a page."""

from __future__ import annotations

import segno
from markupsafe import Markup


def drawn(text: str) -> Markup:
    """A QR code of the text, as SVG that fills what it stands in."""
    code = segno.make(text, error="m", micro=False)
    # The picture has squares only, and nothing of the text to escape.
    return Markup(code.svg_inline(border=4, omitsize=True, lineclass="ink", svgclass=None))
