"""Gateway, broker and worker are killed at random under load, and then the books are audited.

    python -m tests.processes.chaos [--minutes 10] [--seed N]

Several tenants pay odd amounts all the while. Afterwards every credit must be on both sides once, every charge
must be what its register moved, and nobody may have been cut while there was money.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from uuid import UUID

import psycopg

from cloud import auth
from cloud.db import Database
from edge.ledger import ledger_file
from prepaid import ledger
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from prepaid.wire.uplog import Charged, Read, SupplyChanged, Up, read_up
from simulators.building import Building, load
from wattwell import seed
from wattwell.installation import Installation
from wattwell.programs import Programs, wait_for
from wattwell.story import Story, pay
from wattwell.supervise import free_port

VICTIMS = ("gateway", "MQTT broker", "worker")
# Who pays, how much at most (in fen), and how long after at most (in s): two pay less than they use, so that they are
# cut again and again; two pay much and often.
PAYING = (
    ("101", "electricity", 70, 30),
    ("102", "water", 8, 30),
    ("201", "electricity", 911, 6),
    ("402", "electricity", 911, 6),
)
UNPAID = "101"  # uses more than it pays, and nothing is paid once the killing is over
PAUSE_S = (0.5, 12.0)  # between two kills: now in the midst of a start, now after some work
DOWN_S = (0.0, 2.0)  # until what was killed is started again
AWAY_S = 60  # the longest that a meter can have gone unread: a gateway starts within that
PRICES = {"dlt645-2007": Decimal("0.56"), "cjt188-2004": Decimal("3.43")}


@dataclass(slots=True)
class Campaign:
    """What was done: by whom was paid how much under which top-up, and who was killed how often."""

    paid: dict[UUID, Money] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    broken: list[BaseException] = field(default_factory=list)


def torment(
    programs: Programs,
    *,
    seconds: float,
    chance: random.Random,
    tell: Callable[[str], None] = lambda _: None,
) -> Campaign:
    """Kills and starts programs for so long while tenants pay. Everything runs when it returns."""
    done = Campaign()
    stop = threading.Event()
    tenants = [
        threading.Thread(
            target=_tenant,
            args=(programs, one, random.Random(chance.random()), stop, done),
            name=f"tenant of {one[0]}",
        )
        for one in PAYING
    ]
    for tenant in tenants:
        tenant.start()
    end = time.monotonic() + seconds
    try:
        while (left := end - time.monotonic()) > 0 and not done.broken:
            time.sleep(chance.uniform(*PAUSE_S))
            victim = chance.choice(VICTIMS)
            programs.kill(victim)
            time.sleep(chance.uniform(*DOWN_S))
            programs.launch(victim)
            done.kills[victim] += 1
            tell(f"{max(left, 0):4.0f} s left; {len(done.paid)} paid, killed {dict(done.kills)}")
    finally:
        stop.set()
        for tenant in tenants:
            tenant.join()
    return done


def _tenant(
    programs: Programs,
    who: tuple[str, str, int, int],
    chance: random.Random,
    stop: threading.Event,
    done: Campaign,
) -> None:
    room, purpose, most_fen, longest_s = who
    try:
        database = Database(programs.postgres.dsn(), connections=1)
        with database.system() as session:
            account_id, purse_id = seed.find_purse(session, room, purpose)
        database.close()
        url = auth.tenant_url(programs.settings, account_id)
        while not stop.wait(chance.uniform(1, longest_s)):
            amount = Money(chance.randint(1, most_fen))
            topup_id = pay(url, origin=programs.url, purse_id=purse_id, amount=amount)
            done.paid[topup_id] = amount
    except BaseException as error:  # told to the main thread, which fails by it
        done.broken.append(error)


@dataclass(frozen=True, slots=True)
class Findings:
    """What is wrong, a sentence each, and how many cuts and charges were looked at."""

    faults: tuple[str, ...]
    cuts: int
    charges: int


def audit(programs: Programs, story: Story, campaign: Campaign) -> Findings:
    """Waits until whoever pays no more is cut and both sides have all news of each other, then stops gateway and
    building and looks."""
    wait_for(lambda: _is_dark(story, UNPAID), 180, f"the cut of room {UNPAID}")
    wait_for(
        lambda: all(story.stages(topup).delivered_at is not None for topup in campaign.paid),
        120,
        "the delivery of every top-up",
    )
    wait_for(lambda: _is_supplied_as_paid(story), 120, "supply as the balances want it")
    cloud, gateway = wait_for(
        story.balances, 60, "a moment at which both ledgers have all news of each other"
    )
    faults = []
    if cloud != gateway:
        faults.append(f"balances differ: cloud {cloud}, gateway {gateway}")
    faults += _rejected(programs)
    programs.halt("gateway")
    ledger_file.check_file(programs.ledger)
    with closing(sqlite3.connect(f"file:{programs.ledger}?mode=ro", uri=True)) as db:
        faults += _credits(programs, db, campaign)
        points = {row[0]: json.loads(row[1]) for row in db.execute("SELECT id, body FROM point")}
        log = [read_up(body) for (body,) in db.execute("SELECT body FROM up ORDER BY seq")]
        faults += _charges(db, points, log)
        faults += _cuts(db, points, log)
    programs.halt("building")
    faults += _meters(programs, points, log)
    return Findings(
        tuple(faults),
        cuts=sum(_is_cut(message) for message in log),
        charges=sum(len(message.transfers) for message in log if isinstance(message, Charged)),
    )


def _is_dark(story: Story, name: str) -> bool:
    return any(
        point.supply is Supply.OFF
        for room in story.rooms()
        if room.name == name
        for point in room.points
    )


def _is_supplied_as_paid(story: Story) -> bool:
    """Whether every point is on, or waits for its button, where there is money, and off where there is none."""
    for room in story.rooms():
        for point in room.points:
            is_lit = point.supply in (Supply.ON, Supply.ARMED)
            if is_lit is not (point.balance.fen > 0):
                return False
    return True


def _rejected(programs: Programs) -> Iterator[str]:
    """What the cloud, or the gateway, could not apply."""
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        for (reason,) in database.execute("SELECT reason FROM rejected"):
            yield f"the cloud rejected an entry: {reason}"
    with closing(sqlite3.connect(f"file:{programs.ledger}?mode=ro", uri=True)) as db:
        for (reason,) in db.execute("SELECT reason FROM rejected"):
            yield f"the gateway rejected an entry: {reason}"


def _credits(programs: Programs, db: sqlite3.Connection, campaign: Campaign) -> Iterator[str]:
    """Every transfer must be the same on both sides, and every payment among them once."""
    booked = "SELECT cast(id AS text), debit, credit, amount_fen, cause FROM {} ORDER BY 1"
    with psycopg.connect(programs.postgres.admin_dsn, dbname="wattwell") as database:
        in_cloud = database.execute(booked.format("transfers")).fetchall()
    on_gateway = db.execute(booked.format("transfer")).fetchall()
    if in_cloud != on_gateway:
        differ = set(in_cloud) ^ set(on_gateway)
        yield f"{len(differ)} transfers are not the same on both sides: {sorted(differ)[:3]}"
    paid = sorted(amount.fen for amount in campaign.paid.values())
    credited = sorted(row[3] for row in in_cloud if row[4].startswith("sandbox:"))
    if paid != credited:
        yield f"paid were {len(paid)} top-ups of {sum(paid)} fen, credited {len(credited)} of {sum(credited)}"


def _charges(
    db: sqlite3.Connection, points: dict[str, dict[str, object]], log: list[Up]
) -> Iterator[str]:
    """The charges of a point must add up to the price of what its register moved since it was first read."""
    firsts: dict[UUID, Decimal] = {}
    lasts: dict[UUID, Decimal] = {}
    charged: Counter[UUID] = Counter()
    for message in log:
        match message:
            case Read(point=point, reading=reading):
                firsts.setdefault(point, reading.total)
            case Charged(point=point, position=position, transfers=transfers):
                lasts[point] = position.reading.total
                charged[point] += sum(transfer.amount.fen for transfer in transfers)
    for id, body in points.items():
        point = UUID(id)
        cost = (lasts[point] - firsts[point]) * PRICES[body["meter"]["protocol"]] * 100  # type: ignore[index]
        due = int(cost.quantize(Decimal(1), ROUND_HALF_UP))
        if charged[point] != due:
            yield f"{body['name']} was charged {charged[point]} fen for {cost} fen"
    (booked,) = db.execute(
        "SELECT sum(amount_fen) FROM transfer WHERE reason = ?", (ledger.Reason.CHARGE.value,)
    ).fetchone()
    if booked != sum(charged.values()):
        yield f"the log tells of charges of {sum(charged.values())} fen, booked are {booked}"


def _cuts(
    db: sqlite3.Connection, points: dict[str, dict[str, object]], log: list[Up]
) -> Iterator[str]:
    """Nobody may be cut for want of credit while the purse holds some, nor stay lit beyond the bound.

    Credits are placed among the charges by the order in which the gateway booked them. One that came between
    the last charge before a cut and the first after it may have been booked after the cut.
    """
    rows = {row[1]: row for row in db.execute("SELECT rowid, id, amount_fen FROM transfer")}
    credited = [
        (rowid, ledger.purse_of(credit), fen)
        for rowid, credit, fen in db.execute(
            "SELECT rowid, credit, amount_fen FROM transfer ORDER BY 1"
        )
        if ledger.purse_of(credit) is not None
    ]
    charged: Counter[UUID] = Counter()
    booked = 0  # the row of the last charge that the log has told of
    for message in log:
        match message:
            case Charged(point=point, transfers=transfers):
                purse = UUID(str(points[str(point)]["purse"]))
                for transfer in transfers:
                    booked, _, fen = rows[str(transfer.id)]
                    charged[purse] += fen
                    balance = _credits_until(credited, purse, booked) - charged[purse]
                    if balance < -_bound_fen(points[str(point)]):
                        yield f"{points[str(point)]['name']} was at {balance} fen before it was cut"
            case SupplyChanged(point=point) if _is_cut(message):
                purse = UUID(str(points[str(point)]["purse"]))
                balance = _credits_until(credited, purse, booked) - charged[purse]
                if balance > 0:
                    yield f"{points[str(point)]['name']} was cut at {message.at} with {balance} fen"


def _is_cut(message: Up) -> bool:
    return (
        isinstance(message, SupplyChanged)
        and message.supply is Supply.OFF
        and message.why is Why.NO_CREDIT
    )


def _credits_until(credited: list[tuple[int, UUID | None, int]], purse: UUID, row: int) -> int:
    return sum(fen for rowid, owner, fen in credited if owner == purse and rowid <= row)


def _bound_fen(point: dict[str, object]) -> int:
    """What the largest load can take while the gateway is away."""
    meter: dict[str, str] = point["meter"]  # type: ignore[assignment]
    hourly = Decimal(meter["max_per_hour"]) * PRICES[meter["protocol"]] * 100
    return int(hourly * AWAY_S / 3600) + 1


def _meters(
    programs: Programs, points: dict[str, dict[str, object]], log: list[Up]
) -> Iterator[str]:
    """No register may show less than what was charged."""
    folder = programs.installation.building
    lasts = {
        str(message.point): message.position.reading.total
        for message in log
        if isinstance(message, Charged)
    }
    building = Building(load(folder / "building.toml"), folder)
    try:
        for id, body in points.items():
            meter: dict[str, str] = body["meter"]  # type: ignore[assignment]
            shown = building.meters[f"{meter['protocol']}:{meter['address']}"].register.shown
            if shown < lasts[id]:
                yield f"{body['name']} was charged up to {lasts[id]}, its register shows {shown}"
    finally:
        building.close()


@contextmanager
def installed() -> Iterator[Programs]:
    """A whole installation, running, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="wattwell-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as another user
    installation = Installation(folder)
    programs = Programs(installation, web_port=free_port())
    try:
        programs.start()
        yield programs
    finally:
        programs.stop()
        installation.release()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="chaos", description="Kill what can be killed, then audit."
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    out = sys.stderr
    print(f"seed {arguments.seed}", file=out)

    def tell(text: str) -> None:
        print(f"\r{text}  ", end="", file=out, flush=True)

    with installed() as programs, closing(Story(programs)) as story:
        campaign = torment(
            programs,
            seconds=60 * arguments.minutes,
            chance=random.Random(arguments.seed),
            tell=tell,
        )
        findings = audit(programs, story, campaign)
    faults = [f"a tenant could not pay: {error!r}" for error in campaign.broken]
    faults += findings.faults
    total = Money(sum(amount.fen for amount in campaign.paid.values()))
    print(  # noqa: T201
        f"\n{sum(campaign.kills.values())} kills ({dict(campaign.kills)}), {len(campaign.paid)} top-ups of "
        f"{total}, {findings.cuts} cuts, {findings.charges} charges: {len(faults)} faults"
    )
    for fault in faults:
        print(fault)  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
