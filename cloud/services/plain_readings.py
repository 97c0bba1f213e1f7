"""Messages of nothing but plain readings, as of meters that charge nothing just then: kept by one statement each.

The texts that stand in an entry, written as prepaid.wire.uplog writes them, go to the database as they are. Whatever
is out of the ordinary, in a message or with its gateway, is left to uplog, which takes everything.

Messages that wait are kept together, in one transaction. A gateway that somebody else holds is not waited for, so
that two who keep messages of many gateways never wait for each other in a circle.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlmodel import Session

from cloud import events
from cloud.db import NotExecuted, begin_again, execute_each, is_entrys_fault
from cloud.services import chain
from cloud.services.downlog import Batch
from prepaid.wire.entry import Cursor, Entry
from prepaid.wire.envelope import Envelope

_ID = "[0-9a-f-]{36}"  # the database says whether it is one
_TIME = r"(?:19[7-9]\d|[2-8]\d{3})-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
_NUMBER = r"-?\d{1,28}(?:\.\d{1,28})?"
_PLAIN = re.compile(
    rf'^{{"point":"({_ID})","reading":{{"meter_no":("[^"\\\x00-\x1f]{{0,200}}"),"at":"({_TIME})Z",'
    rf'"total":"({_NUMBER})","supply":("on"|"off"|"armed"|null),"bands":null}},'
    r'"evidence":\[\],"kind":"read","known":(\d{1,18}|null)}$',
    re.ASCII | re.MULTILINE,
)
"""A line that is a Read of a register without bands, and without anything that speaks for or against it
(prepaid.wire.uplog.write_up)."""


class _Readings(NamedTuple):
    """Columns of as many texts as there are readings, each as it stands in its entry, which is also how it stands in
    an array of PostgreSQL; times are UTC without the Z, so that later ones are greater texts."""

    points: tuple[str, ...]
    meter_nos: tuple[str, ...]
    times: tuple[str, ...]
    totals: tuple[str, ...]
    supplies: tuple[str, ...]
    known: tuple[str, ...]


class Said(NamedTuple):
    """An envelope, and the gateway that sent it."""

    gateway_no: str
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class _Plain:
    """What was said at a place, as it goes to the database, and what it is answered once it is kept."""

    place: int
    values: Mapping[str, object]
    answer: Batch
    new: int


def take(session: Session, said: Sequence[Said], *, now: datetime) -> list[Batch | None]:
    """Our cursor for each once its readings are kept, to be sent after the commit, which is one for all.

    None for what is not a message of plain readings that follow what we have, of a gateway with which all is as it
    should be and whom nobody else serves just now: of it nothing is written, and uplog is to take it. Needs a system
    session in which nothing was done yet.
    """
    answers: list[Batch | None] = [None] * len(said)
    plain = _plain(said, now=now)
    first = next(plain, None)
    waiting: Iterator[_Plain] = iter(()) if first is None else itertools.chain((first,), plain)
    while first is not None:
        tried: list[_Plain] = []
        try:
            kept = execute_each(session, _KEEP, _noted(waiting, tried))
        except NotExecuted as failed:
            if not is_entrys_fault(failed.error):
                raise failed.error from None
            begin_again(session)
            del tried[failed.place]
            waiting = itertools.chain(tried, waiting)
            continue
        for one, (gateway_id,) in zip(tried, kept, strict=True):
            if gateway_id is not None:
                assert one.answer.cursor is not None
                chain.forget(session, gateway_id, one.answer.cursor.seq, new=one.new)
                answers[one.place] = one.answer
        break
    return answers


def _noted(waiting: Iterator[_Plain], tried: list[_Plain]) -> Iterator[Mapping[str, object]]:
    for one in waiting:
        tried.append(one)
        yield one.values


def _plain(said: Sequence[Said], *, now: datetime) -> Iterator[_Plain]:
    """Those that may be of plain readings, each made when it is asked for."""
    for place, (gateway_no, envelope) in enumerate(said):
        entries, ours = envelope.entries, envelope.cursor
        readings = _readings(entries)
        if readings is None or ours is None or envelope.takeover is not None:
            continue
        log, first = entries[0].log, entries[0]
        hashes = chain.following(Cursor(log, first.seq - 1, first.previous), entries)
        if hashes is None or envelope.sender not in (None, log):
            continue
        cursor = Cursor(log, entries[-1].seq, hashes[-1])
        values = {
            "gateway_no": gateway_no,
            "log": log,
            "before": first.seq - 1,
            "hash_before": first.previous,
            "down_log": ours.log,
            "down_acked": ours.seq,
            "credential": envelope.credential,
            "seq": cursor.seq,
            "hash": cursor.hash,
            "hashes": bytes.fromhex("".join(hashes)),
            "now": now,
            "channel": events.CHANNEL,
            **_columns(readings),
        }
        answer = Batch(gateway_no, (), cursor, nonce=envelope.nonce)
        yield _Plain(place, values, answer, new=len(hashes))


def _readings(entries: Sequence[Entry]) -> _Readings | None:
    """None if there are none, or if one entry is anything else."""
    lines = "\n".join([entry.body for entry in entries])
    plain = _PLAIN.findall(lines)
    # A line is matched whole: where all are, and are no more than there are entries, all entries are.
    if not plain or not len(plain) == len(entries) == lines.count("\n") + 1:
        return None
    return _Readings(*zip(*plain, strict=True))


# A gateway is in step if it has all that we have for it, follows us as we follow it, and nothing is to be noted of it
# but its readings. Of a point that is not the gateway's, or a reading that is there already, uplog knows what to do.
_KEEP = """
    WITH gateway AS (
        SELECT id, organization_id FROM gateways
        WHERE gateway_no = %(gateway_no)s AND revoked_at IS NULL
          AND up_log = %(log)s AND up_seq = %(before)s AND up_hash = %(hash_before)s AND up_fault IS NULL
          AND down_log = %(down_log)s AND down_acked = %(down_acked)s AND down_seq = down_acked
          AND down_fault IS NULL AND follow_from IS NULL AND silent_since IS NULL
          AND (CAST(%(credential)s AS bigint) IS NULL OR credential_no = %(credential)s)
        FOR NO KEY UPDATE SKIP LOCKED
    ), here AS (
        SELECT p.organization_id, p.room_id, u.account_id
        FROM gateway g JOIN points p ON p.gateway_id = g.id LEFT JOIN purses u ON u.id = p.purse_id
        WHERE p.id = ANY (CAST(%(points)s AS uuid[]))
    ), found AS (
        SELECT g.* FROM gateway g
        WHERE (SELECT count(*) FROM here) = cardinality(CAST(%(points)s AS uuid[]))
    ), kept AS (
        INSERT INTO readings (organization_id, point_id, at, meter_no, total, supply, known, number)
        SELECT g.organization_id, (CAST(%(points)s AS uuid[]))[r.place], r.at, r.meter_no, r.total, r.supply, r.known,
               nextval('readings_number')
        FROM found g, unnest(
            CAST(%(each)s AS integer[]), CAST(%(times)s AS timestamptz[]), CAST(%(meter_nos)s AS text[]),
            CAST(%(totals)s AS numeric[]), CAST(%(supplies)s AS text[]), CAST(%(known)s AS bigint[])
        ) AS r (place, at, meter_no, total, supply, known)
    ), states AS (
        UPDATE point_states s
        SET total = n.total, read_at = n.at, bands = NULL, first_read_at = least(s.first_read_at, n.first_at)
        FROM found g, unnest(
            CAST(%(points)s AS uuid[]), CAST(%(last_totals)s AS numeric[]),
            CAST(%(last_times)s AS timestamptz[]), CAST(%(first_times)s AS timestamptz[])
        ) AS n (point, total, at, first_at)
        WHERE s.point_id = n.point
    ), hashes AS (
        INSERT INTO up_hashes (organization_id, gateway_id, seq, hashes)
        SELECT g.organization_id, g.id, %(seq)s, %(hashes)b FROM found g
    ), moved AS (
        UPDATE gateways SET up_seq = %(seq)s, up_hash = %(hash)s, heard_at = %(now)s
        FROM found g WHERE gateways.id = g.id
    ), told AS (
        SELECT count(pg_notify(
            %(channel)s, json_build_array(organization_id, room_id, account_id, NULL)::text
        )) FROM (SELECT DISTINCT h.organization_id, h.room_id, h.account_id FROM here h, found) AS rooms
    )
    SELECT (SELECT id FROM found) FROM told
"""


def _columns(readings: _Readings) -> dict[str, str]:
    """The readings, and the last of each point, as PostgreSQL reads arrays."""
    last_totals = dict(zip(readings.points, readings.totals, strict=True))
    last_times = dict(zip(readings.points, readings.times, strict=True))
    places = {point: str(place) for place, point in enumerate(last_totals, 1)}
    first_times: dict[str, str] = {}
    for point, at in zip(readings.points, readings.times, strict=True):
        if first_times.setdefault(point, at) > at:
            first_times[point] = at
    return {
        "points": _array(last_totals),
        "last_totals": _array(last_totals.values()),
        "last_times": _times(last_times.values()),
        "first_times": _times(first_times.values()),
        "each": _array([places[point] for point in readings.points]),
        "times": _times(readings.times),
        "meter_nos": _array(readings.meter_nos),
        "totals": _array(readings.totals),
        "supplies": _array(readings.supplies),
        "known": _array(readings.known),
    }


def _array(texts: Iterable[str]) -> str:
    """What stands in _PLAIN needs no quoting but the quotes that it has."""
    return f"{{{','.join(texts)}}}"


def _times(texts: Iterable[str]) -> str:
    return f"{{{'Z,'.join(texts)}Z}}"
