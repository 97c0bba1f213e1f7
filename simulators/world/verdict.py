"""After the weather: both sides' books against each other, and against what really flowed."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from cloud import tables
from cloud.services import emergency, overrides
from cloud.services import ledger as books
from cloud.services.readings import rerating
from cloud.tables import metadata, utc_now
from edge.ledger import ledger_file
from prepaid import ledger
from prepaid.ledger import Reason, prepaid
from prepaid.money import Money
from prepaid.reading import Supply
from simulators.world import supplies
from simulators.world.broken import Broken
from simulators.world.points import Point

if TYPE_CHECKING:
    from simulators.world.story import Story

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
QUOTED = {"rejected"}  # tables that keep what others said as they said it
_OF_ALL = " UNION ALL ".join(
    f"SELECT organization_id, '{table.name}', row_to_json(t)::text FROM {table.name} t"
    " WHERE organization_id = ANY(%(ids)s)"
    for table in metadata.sorted_tables
    if "organization_id" in table.columns and table.name not in QUOTED
)


def judge(story: Story) -> None:
    """Raises Broken for the first invariant that does not hold."""
    story.take_digest()
    for number in range(len(story.estates)):
        _payments(story, number)
        _charges(story, number)
        _balances(story, number)
        _dealings(story, number)
        _exchanges(story, number)
        _copies(story, number)
        _overrides(story, number)
        _supply(story, number)
        _rejected(story, number)
    rerate(story)
    _organizations(story)
    truth = story.truth
    story.counts = {
        "visits": sum(m.line.requests for machines in story.machines for m in machines),
        "starts": sum(m.starts for machines in story.machines for m in machines),
        "trips": truth.trips,
        "payments": len(story.cloud.payments),
        "overdrafts": truth.judged_overdrafts,
        "worst overdraft": float(truth.worst_overdraft),
        "supplies": truth.judged_restores,
        "codes": truth.counted_codes,
        "refunds": len(story.cloud.channel.given_back),
        "asked": len(truth.asked),
        "taps": len(truth.taps),
        "exchanges": truth.exchanges,
    }


def _payments(story: Story, number: int) -> None:
    """Each payment is credited once, in the cloud's books and in its log for the gateway."""
    estate = story.estates[number]
    paid = {
        (str(purse), f"sandbox:{transaction}"): payment.amount.fen
        for transaction, (purse, payment) in story.cloud.payments.items()
        if purse in estate.purses
    }
    with story.database.system() as session:
        rows = session.execute(
            select(tables.Transfer).where(
                col(tables.Transfer.organization_id) == estate.organization_id,
                col(tables.Transfer.reason) == Reason.TOP_UP.value,
            )
        ).scalars()
        booked = sorted(
            ((str(ledger.purse_of(row.credit)), row.cause), row.amount_fen) for row in rows
        )
        entries = session.execute(
            select(col(tables.DownEntry.body)).where(
                col(tables.DownEntry.gateway_id) == estate.gateway_id
            )
        ).scalars()
        sent = sorted(
            message["transfer"]["cause"]
            for message in map(json.loads, entries)
            if message["kind"] == "credited"
        )
    if booked != sorted(paid.items()):
        raise Broken("payments", f"paid were {sorted(paid.items())}, booked are {booked}")
    if sent != sorted(cause for _, cause in paid):
        raise Broken("payments", f"paid were {sorted(paid)}, the gateway was told {sent}")


def _charges(story: Story, number: int) -> None:
    """What each point was charged is the cost of what its register moved."""
    estate, store = story.estates[number], story.store(number)
    with story.database.system() as session:
        rows = session.execute(
            select(tables.Transfer).where(
                col(tables.Transfer.organization_id) == estate.organization_id,
                col(tables.Transfer.reason) == Reason.CHARGE.value,
            )
        ).scalars()
        charged: defaultdict[tuple[str, str], int] = defaultdict(int)
        for row in rows:
            point, item, *_ = row.cause.split(":")
            charged[point, item] += row.amount_fen
    for point in estate.points:
        true = story.truth.points[str(point.id)]
        if true.latest is None:
            raise Broken("charges", f"{point.name} was never read")
        account = true.accounts[true.latest]
        due = {item: fen for item, fen in account.posted.items() if fen}
        found = {item: fen for (id, item), fen in charged.items() if id == str(point.id) and fen}
        if due != found:
            raise Broken("charges", f"{point.name} cost {due}, the cloud has {found}")
        shown = true.meter.flow.register()
        position = store.position(point.id)
        if store.history(point.id).is_held:
            continue  # a person must look first
        if position is None or position.reading.total != shown:
            raise Broken(
                "charges",
                f"{point.name} shows {shown}, charged is up to {position and position.reading.total}",
            )


def rerate(story: Story) -> None:
    """The cloud comes to the same charges from the readings alone; asked again it goes on from where it was."""
    for estate in story.estates:
        rerating.rerate(
            story.database, estate.organization_id, now=utc_now(), is_stopping=lambda: False
        )
        with story.database.organization(estate.organization_id) as session:
            found = session.execute(select(tables.RatingDifference)).scalars().all()
        if found:
            raise Broken("re-rating", f"booked otherwise than the readings say: {found}")


def _balances(story: Story, number: int) -> None:
    """Both sides have the same balance for every purse, equal to the fold of their transfers."""
    estate, store = story.estates[number], story.store(number)
    with ledger_file.looking(story.serving[number].path) as db:
        fold = ledger_file.fold(db)
    for purse in estate.purses:
        with story.database.system() as session:
            cloud = books.balance(session, purse)
            rows = books.transfers_of(session, prepaid(purse))
        cloud_fold = sum(t.amount.fen * (1 if t.credit == prepaid(purse) else -1) for t in rows)
        really = Money(
            sum(p.amount.fen for whose, p in story.cloud.payments.values() if whose == purse)
            - _given_back(story, purse)
            - sum(
                sum(true.accounts[true.latest].posted.values())
                for true in story.truth.points.values()
                if true.point.purse == purse and true.latest is not None
            )
        )
        found = {
            "gateway": store.balance(purse),
            "gateway's fold": Money(fold.get(prepaid(purse), 0)),
            "cloud": cloud,
            "cloud's fold": Money(cloud_fold),
        }
        if any(balance != really for balance in found.values()):
            said = ", ".join(f"{name} {balance}" for name, balance in found.items())
            raise Broken("balances", f"purse {purse} of estate {number} holds {really}: {said}")


def _given_back(story: Story, purse: UUID) -> int:
    """What was taken out of a purse, in fen: nothing of it before its gateway had booked it."""
    row = tables.Withdrawal
    with story.database.system() as session:
        rows = session.execute(select(row).where(col(row.purse_id) == purse)).scalars().all()
    for each in rows:
        if each.booked_at is None and each.refused_at is None:
            raise Broken("refunds", f"the gateway never answered to refund {each.id}")
        if (each.booked_at is not None) != (str(each.transfer_id) in story.truth.credits):
            raise Broken("refunds", f"one side has booked refund {each.id}, and the other has not")
    return sum(each.amount_fen for each in rows if each.booked_at is not None)


def _dealings(story: Story, number: int) -> None:
    """Refunds are paid out once, all of their parts; codes are known to the cloud, and loans on both sides."""
    estate, store = story.estates[number], story.store(number)
    row, part = tables.Withdrawal, tables.WithdrawalPart
    with story.database.system() as session:
        parts = session.execute(
            select(part, row)
            .join(row, col(row.id) == col(part.withdrawal_id))
            .where(col(row.purse_id).in_(estate.purses))
        ).all()
        loans = emergency.open_loans(session, estate.purses)
    paid = {id: amount.fen for id, amount in story.cloud.channel.given_back.items()}
    for each, whole in parts:
        due = each.amount_fen if whole.booked_at is not None and each.topup_id else None
        if paid.get(each.id.hex) != due:
            raise Broken(
                "refunds", f"of refund {whole.id} are due {due}, {paid.get(each.id.hex)} are given"
            )
    lent = {purse for purse in estate.purses if store.lent(purse) is not None}
    if lent != set(loans):
        raise Broken(
            "emergency", f"the gateway has lent to {lent}, the cloud knows of {set(loans)}"
        )
    with ledger_file.looking(story.serving[number].path) as db:
        typed = db.execute("SELECT book, number FROM typed").fetchall()
    if typed:
        raise Broken("codes", f"the credits of the codes {typed} never came")


def _exchanges(story: Story, number: int) -> None:
    """Each exchange of a meter is booked by the gateway: what people wrote down was true."""
    event = tables.DeviceEvent
    with story.database.system() as session:
        rows = session.execute(
            select(event).where(
                col(event.gateway_id) == story.estates[number].gateway_id,
                col(event.decided).is_not(None),
            )
        ).scalars()
        for row in rows:
            if row.taken_at is None or row.refused is not None:
                raise Broken("exchanges", f"{row.kind} of {row.at} is not booked: {row.refused}")


def _copies(story: Story, number: int) -> None:
    """The ledger is sound, and the gateway has every point as the cloud has it."""
    estate, store = story.estates[number], story.store(number)
    store.check(within_s=None)
    known = store.points()
    with story.database.system() as session:
        for point in estate.points:
            row = session.get_one(tables.ServicePoint, point.id)
            tariff = session.get_one(tables.TariffDocument, row.tariff_id)
            if point.id not in known or known[point.id].tariff != tariff.code:
                raise Broken(
                    "copies", f"{point.name} is charged by another tariff than {tariff.code}"
                )
            state = session.get_one(tables.PointState, point.id)
            position = store.position(point.id)
            if store.history(point.id).is_held or position is None:
                continue
            if state.total != position.reading.total:
                raise Broken(
                    "copies",
                    f"{point.name}: the cloud has {state.total}, charged is {position.reading.total}",
                )


def _overrides(story: Story, number: int) -> None:
    """The gateway keeps to the overrides that are in force in the cloud, and to no others."""
    estate, store, now = story.estates[number], story.store(number), story.now()
    with story.database.system() as session:
        pins = overrides.all_in_force(session, [point.id for point in estate.points], now=now)
    for point in estate.points:
        pin, override = pins.get(point.id), store.override(point.id)
        decided = (pin.supply, pin.until) if pin is not None else None
        kept = (
            (override.supply, override.until)
            if override is not None and override.until > now
            else None
        )
        if decided != kept:
            raise Broken("copies", f"{point.name} is pinned to {decided}, the gateway has {kept}")


def _supply(story: Story, number: int) -> None:
    """The supply is what it should be, by money, people and the hour."""
    machine, store = story.serving[number], story.store(number)
    for point in story.estates[number].points:
        true: Point = story.truth.points[str(point.id)]
        if store.history(point.id).is_held:
            continue
        wanted = supplies.wanted(story.truth, machine, true)
        meter = true.meter
        is_on = not meter.is_off or meter.is_armed
        if (wanted is Supply.ON and not is_on) or (wanted is Supply.OFF and is_on):
            row = store.supply(point.id)
            raise Broken(
                "supply",
                f"{point.name} should be {wanted}, is {'on' if is_on else 'off'}: {row and row.why}, "
                f"{story.truth.available(point.purse)} fen",
            )


def _rejected(story: Story, number: int) -> None:
    """Neither side has kept an entry of the other that it could not apply."""
    estate, store = story.estates[number], story.store(number)
    if store.rejected():
        raise Broken("rejected", f"the gateway refuses {store.rejected()}")
    with story.database.system() as session:
        row = tables.Rejected
        found = session.execute(
            select(col(row.seq), col(row.reason)).where(
                col(row.gateway_id) == estate.gateway_id, col(row.log) == store.log
            )
        ).all()
    if found:
        raise Broken("rejected", f"the cloud refuses {[tuple(each) for each in found]}")


def _organizations(story: Story) -> None:
    """No row of one organization names anything of the other's, and each sees its own rows alone."""
    named: dict[UUID, dict[str, str]] = {estate.organization_id: {} for estate in story.estates}
    with story.database.system() as session:
        rows = session.connection().exec_driver_sql(_OF_ALL, {"ids": list(named)})
        for organization_id, table, row in rows:
            for id in _UUID.findall(row):
                named[organization_id].setdefault(id, f"{table}: {row[:300]}")
    one, other = named.values()
    if common := one.keys() & other.keys():
        first = sorted(common)[0]
        raise Broken("organizations", f"{first} is in {one[first]} and in {other[first]}")
