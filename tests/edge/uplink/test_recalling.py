"""After the cloud's database was put back to a backup it is told which credits are booked here, and not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from edge.ledger.onlooker import read_log
from edge.ledger.rows import Typed
from edge.ledger.store import Store
from edge.uplink import recalling
from prepaid.ledger import Reason, Transfer, clearing, income, prepaid
from prepaid.money import Money
from prepaid.wire.downlog import Recall
from prepaid.wire.uplog import Recalled, read_up
from tests.edge.simulated import ELECTRICITY, EVENING, PURSE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path, "GW-0001")
    yield store
    store.close()


def credited(store: Store, number: int, purse: UUID = PURSE) -> Transfer:
    """The credit with this number, of as many yuan, after which a charge is booked."""
    amount, book = Money.yuan(str(number)), prepaid(purse)
    made = Transfer(clearing("cash"), book, amount, Reason.TOP_UP, f"{purse}:{number}", EVENING)
    used = Transfer(book, income("energy"), Money(1), Reason.CHARGE, f"{made.id}", EVENING)
    with store.transaction():
        store.credit(made, purse, number)
        store.post(used)
    return made


def told(
    store: Store, path: Path, known: dict[UUID, UUID], taken: dict[UUID, UUID] | None = None
) -> list[Recalled]:
    before = store.last_seq()
    with store.transaction():
        recalling.recall(store, Recall(known, taken=taken or {}))
    read = [read_up(body) for _, body in read_log(path, after=before)]
    return [message for message in read if isinstance(message, Recalled)]


def test_what_came_after_the_credit_that_the_cloud_knows_is_told_in_its_order(
    store: Store, path: Path
):
    first, second, third = (credited(store, number) for number in (1, 2, 3))
    assert told(store, path, {PURSE: first.id}) == [Recalled(PURSE, 3, (second, third))]
    assert told(store, path, {PURSE: third.id}) == []
    # One that is still to come was not followed by anything.
    assert told(store, path, {PURSE: uuid4()}) == []


def test_all_of_a_purse_that_the_cloud_does_not_know_is_told_with_the_number_of_a_typed_code(
    store: Store, path: Path
):
    other = uuid4()
    one, two = credited(store, 1), credited(store, 1, other)
    with store.transaction():
        store.save_typed(other, 4, Typed(Money.yuan("9"), EVENING))
    found = told(store, path, {})
    assert {message.purse: (message.number, message.credits) for message in found} == {
        PURSE: (1, (one,)),
        other: (4, (two,)),
    }


def test_what_was_taken_out_of_a_purse_after_what_the_cloud_knows_is_told_with_the_points_it_pays_for(
    store: Store, path: Path
):
    paid = credited(store, 9)
    taken = [
        Transfer(prepaid(PURSE), clearing("cash"), Money(100), Reason.REFUND, f"{n}", EVENING)
        for n in (1, 2, 3)
    ]
    with store.transaction():
        store.save_point(ELECTRICITY)
        for transfer in taken:
            store.post(transfer)
    known = {PURSE: paid.id}

    (answer,) = told(store, path, known, {PURSE: taken[0].id})
    assert (answer.credits, answer.debits) == ((), (taken[1], taken[2]))  # and no charge
    assert answer.points == (ELECTRICITY.id,)
    assert told(store, path, known, {PURSE: taken[2].id}) == []
    # What the cloud has booked without asking here is not here: all is told, and the cloud knows which it has.
    (answer,) = told(store, path, known, {PURSE: uuid4()})
    assert answer.debits == tuple(taken)
