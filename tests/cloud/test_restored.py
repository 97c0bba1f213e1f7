"""A backup is put back while a gateway has gone on: both programs, and what each believes afterwards."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select, text

from cloud import tables
from cloud.auth import SignedIn, of_user
from cloud.backups import restoring, taking
from cloud.backups.sealed import BadBackup
from cloud.db import Database
from cloud.errors import CannotStart
from cloud.services import credits, downlog, estate, ledger, pointsets, restored, uplog
from cloud.services.accounts import closing, opening, reopening
from cloud.services.accounts.drafts import Draft, FirstMoney, Holder, PointDraft
from cloud.services.money import lost_transfers, purses, refunds
from cloud.services.money.refunds import How
from cloud.services.readings import partitions
from prepaid.ledger import Book, Reason, Transfer, clearing, prepaid
from prepaid.money import Money
from prepaid.purse import Purpose
from prepaid.wire.downlog import Credited, PointSet
from prepaid.wire.uplog import Recalled
from tests.cloud.conftest import NOON
from tests.cloud.test_takeover import Town
from tests.edge.simulated import clock, simulated, until

PASSPHRASE = "correct horse battery"


@pytest.fixture
def empty(postgres) -> str:
    """The address of a database with nothing in it."""
    name = f"test_{uuid.uuid4().hex}"
    postgres.create_database(name)
    yield postgres.dsn(name)
    postgres.drop_database(name)


def pay(town: Town, yuan: str, cause: str, *, at: datetime) -> None:
    """A payment that the channel tells of, with its time: the same when it is asked again."""
    book = prepaid(town.cloud.purse)
    transfer = Transfer(clearing("sandbox"), book, Money.yuan(yuan), Reason.TOP_UP, cause, at)
    with town.cloud.database.system() as session:
        ledger.post(session, town.cloud.organization_id, [transfer])
        (gateway,) = downlog.lock(session, [town.cloud.gateway_id])
        downlog.append(session, gateway, [Credited(transfer)])


@pytest.mark.processes
@simulated
async def test_a_gateway_that_knows_more_than_the_restored_cloud_loses_nothing_of_what_that_writes(
    database, home, url, empty, tmp_path: Path, caplog
):
    town = Town(database, home, tmp_path)
    await town.live()  # 10.00 paid, 2.00 used
    backup = tmp_path / "backup"
    taking.take(url, backup, settings_file=None, passphrase=None, now=clock())
    # Paid after the backup, and booked at the gateway.
    found_again = clock()
    pay(town, "20.00", "sandbox:2", at=found_again)
    await town.use(town.first, "106.00")
    assert town.first.balance == Money.yuan("27.00")

    restoring.restore(empty, backup, passphrase=None, now=clock())
    town.cloud.database = put_back = Database(empty)
    # Before the gateway is heard the office takes money twice: under the number that the lost one had, and the next.
    town.cloud.top_up("5.00", "cash:3")
    town.cloud.top_up("6.00", "cash:4")
    await town.use(town.first, "108.00")

    # 10.00 + 20.00 + 5.00 + 6.00 - 8 kWh at 0.50; the cloud is yet to find the payment of 20.00 again.
    assert town.first.balance == Money.yuan("37.00")
    assert town.cloud.balance == Money.yuan("17.00")
    pay(town, "20.00", "sandbox:2", at=found_again)
    await town.use(town.first, "110.00")
    assert town.first.balance == town.cloud.balance == Money.yuan("36.00")
    assert town.cloud.rejected() == []
    assert town.first.store.rejections() == 0
    # Of the two gateways there are, this one has been heard.
    assert town.cloud.alarms().count(("cloud-restored", False)) == 2
    assert town.cloud.alarms().count(("cloud-restored", True)) == 1
    # The gateway had told of the 20.00; they are found again, so nobody has to see to them.
    with put_back.organization(home.organization_id) as session:
        kept = session.execute(select(tables.LostTransfer.cause)).scalars().all()
        assert kept == ["sandbox:2"]
        assert lost_transfers.waiting(session, manager(session, home)) == []
    assert caplog.text.count("the cloud's database was put back to a backup") == 1
    await town.first.stop()
    put_back.close()


def manager(session, home) -> SignedIn:
    return of_user(session, session.get_one(tables.User, home.user_id))


@pytest.mark.processes
@simulated
async def test_what_only_the_gateway_has_booked_is_listed_and_booked_once_and_no_number_is_given_twice(
    database, home, url, empty, tmp_path: Path
):
    town = Town(database, home, tmp_path)
    await town.live()  # 10.00 paid, 2.00 used
    backup = tmp_path / "backup"
    numbered(town, "1.00", "cash:a")
    await heard(town)
    taking.take(url, backup, settings_file=None, passphrase=None, now=clock())
    lost = [numbered(town, "20.00", "cash:b"), numbered(town, "7.00", "cash:c")]
    await heard(town)
    assert lost == [3, 4]  # the first is the 10.00, which had been paid before there were numbers
    await give_back(town, "3.00")

    restoring.restore(empty, backup, passphrase=None, now=clock())
    town.cloud.database = put_back = Database(empty)
    # The office takes money before the gateway is heard: under a number that nobody had.
    assert numbered(town, "5.00", "cash:d") == 2 + restored.AHEAD + 1
    await heard(town)

    # The gateway: 10.00 - 2.00 + 1.00 + 20.00 + 7.00 - 3.00 + 5.00. The cloud has nothing of the lost day.
    assert town.first.balance == Money.yuan("38.00")
    assert town.cloud.balance == Money.yuan("14.00")
    with put_back.organization(home.organization_id) as session:
        by = manager(session, home)
        listed = lost_transfers.waiting(session, by)
        assert [(one.amount, one.reason, one.is_debit, one.holder) for one in listed] == [
            (Money.yuan("20.00"), Reason.TOP_UP, False, "李四"),
            (Money.yuan("7.00"), Reason.TOP_UP, False, "李四"),
            (Money.yuan("3.00"), Reason.REFUND, True, "李四"),
        ]
        lost_transfers.book(session, by, listed[0].id, now=clock())
        lost_transfers.book(session, by, listed[2].id, now=clock())
    with put_back.organization(home.organization_id) as session:
        by = manager(session, home)
        with pytest.raises(lost_transfers.IsSettled):
            lost_transfers.book(session, by, listed[0].id, now=clock())
    with put_back.organization(home.organization_id) as session:
        by = manager(session, home)
        lost_transfers.settle(session, by, listed[1].id, note="已手工补录", now=clock())
        assert lost_transfers.waiting(session, by) == []
    await heard(town)
    # Booked at both under one id: the gateway, which had it, has no more than before. 14.00 + 20.00 - 3.00.
    assert town.first.balance == Money.yuan("38.00")
    assert town.cloud.balance == Money.yuan("31.00")
    assert ("debit-unknown", True) in town.cloud.alarms()  # the refund is seen to
    assert town.first.store.rejections() == 0
    await town.first.stop()
    put_back.close()


async def heard(town: Town) -> None:
    """The gateway says a word every half minute, and by then has what the cloud has written for it."""
    await asyncio.sleep(31)
    await until(town.first.is_settled, within_s=60)


async def give_back(town: Town, yuan: str) -> None:
    """Asked for and booked at the gateway."""
    with town.cloud.database.organization(town.cloud.organization_id) as session:
        by = of_user(session, session.get_one(tables.User, town.cloud.user_id))
        refunds.request(session, by, town.cloud.purse, Money.yuan(yuan), How.CASH, "多交", clock())
    await heard(town)


@pytest.mark.processes
@simulated
async def test_an_account_that_was_opened_after_the_backup_is_opened_again_with_all_its_gateway_has_booked(
    database, home, url, empty, tmp_path: Path
):
    town = Town(database, home, tmp_path)
    with database.organization(home.organization_id) as session:
        room_id = session.get_one(tables.ServicePoint, town.cloud.point_id).room_id
        by = manager(session, home)
        closing.close(session, by, town.cloud.account_id, typed={}, why="搬走", now=clock())
    await town.first.start()
    await town.use(town.first, "100.00")
    backup = tmp_path / "backup"
    taking.take(url, backup, settings_file=None, passphrase=None, now=clock())
    # After the backup somebody moves in, pays 20.00, uses 4 kWh at 0.50, and is given back 5.00.
    draft = Draft(
        room_ids=(room_id,),
        holder=Holder("王五"),
        points=(PointDraft(town.cloud.point_id, Purpose.ELECTRICITY),),
        money=(FirstMoney(Purpose.ELECTRICITY, topup=Money.yuan("20.00")),),
    )
    with database.organization(home.organization_id) as session:
        opening.open_account(session, by, draft, key=uuid.uuid4(), now=clock())
        point = session.get_one(tables.ServicePoint, town.cloud.point_id)
        town.cloud.purse = point.purse_id
    await town.use(town.first, "100.00")
    await town.use(town.first, "104.00")
    await give_back(town, "5.00")

    restoring.restore(empty, backup, passphrase=None, now=clock())
    town.cloud.database = put_back = Database(empty)
    await heard(town)
    assert town.first.balance == Money.yuan("13.00")
    with put_back.organization(home.organization_id) as session:
        listed = lost_transfers.waiting(session, by)
        assert {(one.amount.fen, one.is_debit, one.holder, one.rooms) for one in listed} == {
            (2000, False, None, "A 0302"),
            (500, True, None, "A 0302"),
        }
        with pytest.raises(lost_transfers.PurseIsGone):
            lost_transfers.book(session, by, listed[0].id, now=clock())
        purse_id = listed[0].purse_id
        account = reopening.reopen(session, by, purse_id, Holder("王五"), now=clock())
        assert account.holder == "王五"
    with put_back.organization(home.organization_id) as session:
        assert lost_transfers.waiting(session, by) == []
        with pytest.raises(lost_transfers.IsSettled):
            reopening.reopen(session, by, purse_id, Holder("王五"), now=clock())

    await heard(town)
    assert town.first.balance == town.cloud.balance == Money.yuan("13.00")
    # It pays for its meter again: 2 kWh more.
    await town.use(town.first, "104.00")
    await town.use(town.first, "106.00")
    assert town.first.balance == town.cloud.balance == Money.yuan("12.00")
    assert town.first.store.rejections() == 0
    await town.first.stop()
    put_back.close()


def numbered(town: Town, yuan: str, cause: str) -> int:
    """Cash that is taken as the office takes it; the number of the credit."""
    transfer = Transfer(
        clearing("cash"), prepaid(town.cloud.purse), Money.yuan(yuan), Reason.TOP_UP, cause, clock()
    )
    with town.cloud.database.system() as session:
        purse = purses.locked(session, town.cloud.organization_id, town.cloud.purse)
        # What was paid before has a number, too, as it has in an office.
        credits.of_purse(session, purse)
        purses.credit(session, purse, [transfer], carry_to=None)
        return purse.credits


@pytest.mark.processes
@simulated
async def test_a_point_that_is_said_again_after_a_restore_stays_in_doubt(
    database, home, tmp_path: Path
):
    town = Town(database, home, tmp_path)
    await town.live()
    town.meter.show("50.00")  # backwards: held until somebody has looked
    await until(
        lambda: town.first.store.history(town.cloud.point_id).doubt is not None, within_s=200
    )

    def say(*, is_again: bool) -> None:
        with town.cloud.database.system() as session:
            (gateway,) = downlog.lock(session, [town.cloud.gateway_id])
            point = session.get(tables.ServicePoint, town.cloud.point_id)
            downlog.append(session, gateway, [PointSet(pointsets.value(session, point), is_again)])

    say(is_again=True)
    await until(town.first.is_settled, within_s=60)
    assert town.first.store.history(town.cloud.point_id).doubt is not None
    await town.first.stop()


def transfers(url: str) -> list[tuple[object, ...]]:
    database = Database(url, connections=1)
    with database.system() as session:
        rows = session.execute(select(tables.Transfer)).scalars()
        found = [(row.id, row.debit, row.credit, row.amount_fen, row.at) for row in rows]
    database.close()
    return sorted(found)


def test_a_restored_database_has_the_same_books_and_is_kept_apart_by_organization(
    database, home, build, url, empty, tmp_path, settings_file
):
    build("neighbour")
    book = prepaid(home.electricity_purse)
    paid = Transfer(clearing("cash"), book, Money.yuan("50.00"), Reason.TOP_UP, "cash:1", NOON)
    long_ago = NOON.replace(year=2023)  # its month has a partition, which no migration makes
    with database.system() as session:
        ledger.post(session, home.organization_id, [paid])
        partitions.make_month(session, year=2023, month=3)
        session.add(
            tables.Reading(
                organization_id=home.organization_id,
                point_id=home.electricity,
                at=long_ago,
                meter_no="x",
                total=Decimal("1.5"),
            )
        )
    (settings_file.parent / "secrets" / "database_url").write_text(url)
    backup = tmp_path / "backup"

    made = taking.take(url, backup, settings_file=settings_file, passphrase=PASSPHRASE, now=NOON)
    put = restoring.restore(empty, backup, passphrase=PASSPHRASE, now=NOON)

    assert put.rows == made.rows
    assert transfers(empty) == transfers(url) != []
    restored = Database(empty, connections=1)
    with restored.organization(home.organization_id) as session:
        assert session.execute(select(tables.Organization.name)).scalars().all() == ["home"]
        assert ledger.balance(session, home.electricity_purse) == Money.yuan("50.00")
    with pytest.raises(Exception, match="never changed or deleted"), restored.system() as session:
        session.execute(tables.Transfer.__table__.delete())
    with restored.system() as session:
        lies_in = text("SELECT tableoid::regclass::text FROM readings WHERE meter_no = 'x'")
        assert session.execute(lies_in).scalar_one() == "parts.readings_2023_03"
        gateway = session.get(tables.Gateway, home.gateway_id)
        assert gateway.down_log != home.down_log
    restored.close()


def test_secrets_come_back_from_a_sealed_backup_but_not_the_addresses_of_servers(
    url, tmp_path, settings_file
):
    backup, elsewhere = tmp_path / "backup", tmp_path / "elsewhere"
    taking.take(url, backup, settings_file=settings_file, passphrase=PASSPHRASE, now=NOON)
    (elsewhere / "secrets").mkdir(parents=True)
    (elsewhere / "secrets" / "signing_key").write_text("another")

    restoring.restore_files(backup, elsewhere, passphrase=PASSPHRASE, now=NOON)

    secrets = elsewhere / "secrets"
    kept = (settings_file.parent / "secrets" / "signing_key").read_text()
    assert (secrets / "signing_key").read_text() == kept
    assert (secrets / "signing_key.before-restore-20260302T120000").read_text() == "another"
    assert not (secrets / "database_url").exists()
    assert (secrets / "session_secret").stat().st_mode & 0o777 == 0o600
    assert kept.encode() not in backup.read_bytes()


@pytest.mark.parametrize("place", [40, 2000, -40])
def test_a_damaged_backup_is_not_restored(url, empty, tmp_path, place):
    backup = tmp_path / "backup"
    taking.take(url, backup, settings_file=None, passphrase=None, now=NOON)
    content = bytearray(backup.read_bytes())
    content[place] ^= 1
    backup.write_bytes(content)

    with pytest.raises(BadBackup):
        restoring.restore(empty, backup, passphrase=None, now=NOON)


def test_a_backup_is_not_restored_over_anything_nor_with_another_passphrase(url, empty, tmp_path):
    backup = tmp_path / "backup"
    taking.take(url, backup, settings_file=None, passphrase=PASSPHRASE, now=NOON)

    with pytest.raises(BadBackup, match="another passphrase"):
        restoring.restore(empty, backup, passphrase="something else", now=NOON)
    with pytest.raises(restoring.NotEmpty, match="is not empty"):
        restoring.restore(url, backup, passphrase=PASSPHRASE, now=NOON)
    with pytest.raises(FileExistsError):
        taking.take(url, backup, settings_file=None, passphrase=PASSPHRASE, now=NOON)
    restoring.restore(empty, backup, passphrase=PASSPHRASE, now=NOON)


def test_secrets_are_not_written_without_a_passphrase(url, tmp_path, settings_file):
    with pytest.raises(CannotStart, match="under a passphrase"):
        taking.take(url, tmp_path / "b", settings_file=settings_file, passphrase=None, now=NOON)
    assert not (tmp_path / "b").exists()


def test_a_gateway_that_was_not_asked_is_not_believed_about_credits(database, home):
    book = prepaid(home.electricity_purse)
    made_up = Transfer(clearing("cash"), book, Money.yuan("99"), Reason.TOP_UP, "cash:x", NOON)
    told = Recalled(home.electricity_purse, 7, (made_up,))
    with database.system() as session:
        gateway = uplog.gateway_of(session, home.gateway_no)
        with pytest.raises(lost_transfers.NotAsked, match="was not asked"):
            lost_transfers.told(session, gateway, told, now=NOON)
        restored.rename_logs(session, now=NOON)
        other = estate.add_gateway(session, session.get_one(tables.Site, home.site_id), "GW-2")
        with pytest.raises(lost_transfers.NotAsked, match="not of this gateway"):
            lost_transfers.told(session, other, told, now=NOON)
        assert lost_transfers.told(session, gateway, told, now=NOON) == 1
        assert lost_transfers.told(session, gateway, replace(told, number=2**30), now=NOON) == 1
        purse = session.get_one(tables.Purse, home.electricity_purse, populate_existing=True)
        assert purse.credits == restored.AHEAD


@pytest.mark.processes
def test_a_lost_account_is_opened_again_from_the_page_of_reconciliation_once_its_room_is_free(
    web, database, home
):
    purse_id, book = uuid.uuid4(), Book("Assets:Clearing:cash")
    mine = prepaid(purse_id)
    paid = Transfer(book, mine, Money.yuan("20"), Reason.TOP_UP, "cash:lost", NOON)
    back = Transfer(mine, refunds.REFUNDS, Money.yuan("5"), Reason.REFUND, "lost", NOON)
    with database.system() as session:
        restored.rename_logs(session, now=NOON)
        gateway = uplog.gateway_of(session, home.gateway_no)
        told = Recalled(purse_id, 3, (paid,), debits=(back,), points=(home.electricity,))
        assert lost_transfers.told(session, gateway, told, now=NOON) == 2
    origin = {"Origin": "http://cloud.test"}
    web.post("/login", data={"login": "home", "password": "correct horse"}, headers=origin)

    page = web.get("/bills").text
    assert ("A 0301" in page, "−¥5.00" in page.replace(" ", "")) == (True, True)
    (at,) = re.findall(r'action="(/lost-transfers/purses/[\w-]+/reopen)"', page)
    form = {"holder": "王五", "phone": ""}
    # The account of before the backup is still there: 张三 has the room.
    assert web.post(at, data=form, headers=origin).status_code == 409
    with database.organization(home.organization_id) as session:
        by = manager(session, home)
        closing.close(session, by, home.account_id, typed={}, why="搬走", now=NOON)
    opened = web.post(at, data=form, headers=origin)
    assert opened.status_code == 303
    assert "王五" in web.get(opened.headers["location"]).text
    assert "/lost-transfers/" not in web.get("/bills").text
    with database.organization(home.organization_id) as session:
        # 20.00 - 5.00; the next credit has a number that the gateway has given none.
        assert ledger.balance(session, purse_id) == Money.yuan("15")
        assert session.get_one(tables.Purse, purse_id).credits == 4
        assert session.get_one(tables.ServicePoint, home.electricity).purse_id == purse_id
