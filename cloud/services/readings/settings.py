"""By what a gateway rated each reading: the service point and the tariff that it had been told of by then."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlmodel import Session

from prepaid.point import ServicePoint
from prepaid.tariff import Tariff
from prepaid.tariff_document import BadTariff, parse

_POINT = TypeAdapter(ServicePoint)
_TOLD = text("""
    SELECT gateway_id, seq, body FROM down_entries
    WHERE gateway_id = ANY(:gateways) AND body ~ '"kind": ?"(point-set|tariff-set|decided)"'
    ORDER BY gateway_id, seq
""")

T = TypeVar("T")


class Told:
    """What gateways were told of points and tariffs, in order."""

    def __init__(self, session: Session, gateways: Iterable[UUID]) -> None:
        self._points: defaultdict[tuple[UUID, UUID], list[tuple[int, Any]]] = defaultdict(list)
        self._tariffs: defaultdict[tuple[UUID, str], list[tuple[int, Any]]] = defaultdict(list)
        self._read_points: dict[int, ServicePoint] = {}
        self._read_tariffs: dict[int, Tariff | None] = {}
        self._by_text: dict[
            str, Tariff | None
        ] = {}  # one tariff for all gateways: it remembers days
        for gateway, seq, body in session.execute(_TOLD, {"gateways": list(set(gateways))}):
            said = json.loads(body)
            if said["kind"] == "tariff-set":
                self._tariffs[gateway, said["document"]["code"]].append((seq, said["document"]))
            else:
                self._points[gateway, UUID(said["point"]["id"])].append((seq, said["point"]))

    def at(
        self, gateway: UUID, point: UUID, entry: int | None
    ) -> tuple[ServicePoint, Tariff] | None:
        """What the gateway knew of a point when it had our log up to an entry; what it was told first where that is
        not known. None if it was told nothing that it could use."""
        found = _at(self._points[gateway, point], entry)
        if found is None:
            return None
        told = self._point(found)
        document = _at(self._tariffs[gateway, told.tariff], entry)
        tariff = None if document is None else self._tariff(document)
        return None if tariff is None else (told, tariff)

    def _point(self, found: Any) -> ServicePoint:
        known = self._read_points.get(id(found))
        if known is None:
            known = self._read_points[id(found)] = _POINT.validate_python(found)
        return known

    def _tariff(self, document: Any) -> Tariff | None:
        """None for one that the gateway could not use either."""
        if id(document) not in self._read_tariffs:
            key = json.dumps(document, sort_keys=True)
            if key not in self._by_text:
                try:
                    self._by_text[key] = parse(document)
                except BadTariff:
                    self._by_text[key] = None
            self._read_tariffs[id(document)] = self._by_text[key]
        return self._read_tariffs[id(document)]


def _at(told: list[tuple[int, T]], entry: int | None) -> T | None:
    """The last that was told up to an entry; the first where that is not known, or none was told yet."""
    if not told:
        return None
    place = 0 if entry is None else bisect_right(told, entry, key=lambda each: each[0])
    return told[max(place - 1, 0)][1]
