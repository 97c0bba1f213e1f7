"""Excel sheets of the estate: the empty one to fill in, the page where one is chosen, and what became of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from fastapi import Request, UploadFile
from sqlmodel import Session
from starlette.responses import Response

from cloud.auth import SignedIn
from cloud.errors import CloudError
from cloud.services import sheets
from cloud.services.sheets import Column, Report
from cloud.tables import utc_now
from dashboards import errors, page
from dashboards.manager.estate import forms
from dashboards.manager.top import top


class Taker(Protocol):
    """Takes in the rows of a workbook, or only checks them."""

    def __call__(
        self, session: Session, content: bytes, *, only_check: bool, by: SignedIn, now: datetime
    ) -> Report: ...


@dataclass(frozen=True, slots=True)
class Workbook:
    """What is taken in by Excel: path is that of its pages, title a message id, sheet what the sheet is called, file
    the beginning of its name."""

    path: str
    title: str
    sheet: str
    file: str
    columns: Sequence[Column]
    taker: Taker

    def template(self) -> Response:
        content = sheets.template(self.columns, title=self.sheet)
        return download(content, f"{self.file}-template.xlsx")

    def ask(self, request: Request, session: Session, user: SignedIn) -> Response:
        return self._page(request, session, user)

    def take(
        self,
        request: Request,
        session: Session,
        user: SignedIn,
        file: UploadFile | None,
        *,
        only_check: bool,
    ) -> Response:
        """The report, row by row."""
        try:
            content = forms.content(file, most=sheets.MOST_BYTES)
            report = self.taker(session, content, only_check=only_check, by=user, now=utc_now())
        except CloudError as error:
            return self._page(request, session, user, error=error)
        return self._page(request, session, user, report=report)

    def _page(
        self,
        request: Request,
        session: Session,
        user: SignedIn,
        *,
        report: Report | None = None,
        error: CloudError | None = None,
    ) -> Response:
        said = {
            row.row: errors.sentence(request, row.said)
            for row in (report.rows if report else ())
            if row.said
        }
        return page.render(
            request,
            "manager/estate/import.html",
            status=error.status if error else 200,
            path=self.path,
            title=page.say(request)(self.title),
            back=self.path,
            report=report,
            said=said,
            mistake=errors.mistake(request, error),
            megabytes=sheets.MOST_BYTES // 1024 // 1024,
            most=sheets.MOST_ROWS,
            **top(session, user),
        )


def download(content: bytes, name: str) -> Response:
    """A workbook as a file to keep."""
    return Response(
        content,
        media_type=sheets.MEDIA_TYPE,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )
