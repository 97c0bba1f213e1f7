"""The pages' style sheets, scripts and pictures: compressed, and kept by the browser."""

from __future__ import annotations

import gzip
import mimetypes
from functools import lru_cache

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from dashboards import page

router = APIRouter(include_in_schema=False)

# An address with the file's version stands for one content for good; the icon font's has only Tabler's.
FOR_GOOD = "public, max-age=31536000, immutable"
FOR_A_DAY = "public, max-age=86400"


@router.api_route("/static/{name:path}", methods=["GET", "HEAD"])
def file(request: Request, name: str, v: str = "") -> Response:
    version = page.VERSIONS.get(name)
    if version is None:
        raise HTTPException(404)
    headers = {
        "Cache-Control": FOR_GOOD if v == version else FOR_A_DAY,
        "ETag": f'W/"{version}"',
        "Vary": "Accept-Encoding",
        "X-Content-Type-Options": "nosniff",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    is_zipped = not kind.startswith("font/") and page.takes_gzip(request)
    if is_zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(_content(name, is_zipped=is_zipped), headers=headers, media_type=kind)


@lru_cache
def _content(name: str, *, is_zipped: bool) -> bytes:
    content = (page.STATIC / name).read_bytes()
    return gzip.compress(content, mtime=0) if is_zipped else content
