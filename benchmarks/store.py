"""How large a gateway's ledger grows: 100 meters, each read every 15 minutes, for 90 days.

Every visit moves a register by what a household uses, in the order and with the transactions of the gateway's own
booking; nothing is sent to any meter. Prints bytes per visit by table, the size after 90 days, and how long the
look through it at a start takes.

    python -m benchmarks.store [days]
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from edge.ledger.store import Store
from prepaid import rating
from prepaid.point import Meter, Policy, ServicePoint
from prepaid.reading import Reading, Supply
from prepaid.wire.downlog import TariffSet
from prepaid.wire.uplog import Charged, Read

METERS = 100
EVERY = timedelta(minutes=15)
KEPT_DAYS = 90
USE = Decimal("0.08")  # kWh in a quarter of an hour: 2,800 kWh a year

TARIFF = TariffSet(
    {
        "code": "power",
        "commodity": "electricity",
        "unit": "kWh",
        "currency": "CNY",
        "timezone": "Asia/Shanghai",
        "versions": [
            {
                "effective_from": "2026-01-01T00:00:00+08:00",
                "components": [{"item": "energy", "kind": "rate", "price": "0.5283"}],
            }
        ],
    }
)


def point(number: int) -> ServicePoint:
    return ServicePoint(
        id=UUID(int=number + 1),
        name=f"{number:04} 电",
        meter=Meter(
            f"{number:012}", "dlt645-2007", "L1", f"{number:012}", 6, Decimal("0.01"), Decimal(60)
        ),
        tariff="power",
        purse=UUID(int=1000 + number),
        policy=Policy(),
    )


def fill(store: Store, days: float) -> int:
    """The number of visits."""
    points = [point(number) for number in range(METERS)]
    with store.transaction():
        store.save_tariff(TARIFF)
        for each in points:
            store.save_point(each)
    tariff = store.tariff("power")
    assert tariff is not None
    at = datetime(2026, 3, 1, tzinfo=UTC)
    total = Decimal("100.00")
    visits = 0
    for _ in range(int(days * (timedelta(days=1) / EVERY))):
        at += EVERY
        total += USE
        for each in points:
            with store.transaction():
                reading = Reading(each.meter.meter_no, at, total, Supply.ON)
                store.append(Read(each.id, reading))
                before = store.position(each.id)
                if before is None:
                    store.save_position(each.id, rating.open_position(each, tariff, reading))
                    continue
                position, charges = rating.rate(each, tariff, before, reading, moved=USE)
                transfers = rating.transfers(each, position, charges)
                for transfer in transfers:
                    store.post(transfer)
                store.save_position(each.id, position)
                if transfers:
                    store.append(Charged(each.id, position, transfers))
            visits += 1
    return visits


def main() -> None:
    days = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        store = Store(path, "GW-BENCH")
        began = time.perf_counter()
        visits = fill(store, days)
        took = time.perf_counter() - began
        store.checkpoint()
        size = path.stat().st_size
        began = time.perf_counter()
        is_whole = store.check(within_s=600)
        looked = time.perf_counter() - began
        tables = dict(
            store._db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
        )
        store.close()
    say = sys.stdout.write
    say(f"{visits} visits in {took:.1f} s, {took / visits * 1e6:.0f} us each\n")
    for name, bytes_ in sorted(tables.items(), key=lambda item: -item[1])[:5]:
        say(f"  {name:28} {bytes_ / visits:7.1f} bytes a visit\n")
    whole = size / days * KEPT_DAYS / 1e9
    say(f"{size / 1e6:.1f} MB after {days} days; {whole:.2f} GB after {KEPT_DAYS}\n")
    say(f"looked through as at a start (all of it: {is_whole}) in {looked:.2f} s\n")


if __name__ == "__main__":
    main()
