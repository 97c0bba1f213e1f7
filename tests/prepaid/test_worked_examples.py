"""Stories with every amount worked out by hand, and the books after each step."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from prepaid import ledger
from prepaid.allocation import Agreement, Allocation, Kind, allocate
from prepaid.common_use import MeterUse, Use
from prepaid.credit import CreditState, credit_state, is_repaid
from prepaid.ledger import (
    Book,
    Reason,
    Transfer,
    balances,
    correctable,
    credit_balance,
    refundable,
    statement,
)
from prepaid.money import ZERO, Money
from prepaid.point import EmergencyCredit, Policy
from prepaid.purse import Purpose
from prepaid.rating import Position, transfers
from prepaid.reading import Supply
from prepaid.sharing import (
    By,
    Loss,
    Member,
    Payer,
    Standing,
    Terms,
    Vacant,
    share_use,
)
from prepaid.sharing import transfers as charge_shares
from prepaid.supply import desired
from tests.prepaid.situations import knowing
from tests.prepaid.values import EVENING, POINT, PURSE, flat, open_position, rate, read


def test_a_resident_tops_up_uses_all_is_cut_and_tops_up_again():
    tariff = flat("0.56")
    books: list[Transfer] = []

    def balance() -> Money:
        return credit_balance(ledger.prepaid(PURSE), books)

    def top_up(yuan: str, cause: str) -> None:
        books.append(
            Transfer(
                ledger.clearing(cause.split(":")[0]),
                ledger.prepaid(PURSE),
                Money.yuan(yuan),
                Reason.TOP_UP,
                cause,
                EVENING,
            )
        )

    # ¥5.00 paid in cash; the meter stands at 1523.40
    top_up("5.00", "cash:1")
    position = open_position(tariff, read("1523.40"))
    assert balance() == Money.yuan("5.00")
    assert desired(POINT.policy, knowing(str(balance()))).supply is Supply.ON

    # 8.00 kWh: 8 × 0.56 = 4.48, leaving 0.52
    reading = read("1531.40", after_s=3600)
    position, charges = rate(tariff, position, reading)
    books += transfers(POINT, position, charges)
    assert balance() == Money.yuan("0.52")

    # 0.93 kWh more: 8.93 × 0.56 = 5.0008, rounded 5.00; 4.48 posted, so 0.52 now, leaving nothing
    reading = read("1532.33", after_s=7200)
    position, charges = rate(tariff, position, reading)
    books += transfers(POINT, position, charges)
    assert balance() == Money(0)
    assert desired(POINT.policy, knowing(str(balance()))).supply is Supply.OFF

    # ¥20.00 by phone: light again
    top_up("20.00", "sandbox:77")
    assert balance() == Money.yuan("20.00")
    assert desired(POINT.policy, knowing(str(balance()))).supply is Supply.ON

    # every fen paid in is owed or earned
    assert credit_balance(ledger.clearing("cash"), books) == Money.yuan("-5.00")
    assert credit_balance(ledger.clearing("sandbox"), books) == Money.yuan("-20.00")
    assert credit_balance(ledger.income("energy"), books) == Money.yuan("5.00")


class Story:
    """One account's books: what has moved so far, and what each book holds, credits less debits."""

    def __init__(self) -> None:
        self.booked: list[Transfer] = []
        self.position: Position | None = None

    def move(self, yuan: str, reason: Reason, *, debit: Book, credit: Book, cause: str) -> Transfer:
        transfer = Transfer(debit, credit, Money.yuan(yuan), reason, cause, self._now())
        return self.post(transfer)

    def top_up(self, yuan: str, cause: str) -> Transfer:
        return self.move(yuan, Reason.TOP_UP, debit=CASH, credit=MINE, cause=cause)

    def use(self, kwh: str) -> None:
        """Rates what a meter moved, at 0.56 a kWh, and posts what it costs."""
        if self.position is None:
            self.position = open_position(flat("0.56"), read("1000.00"))
        before = self.position.reading
        after = read(str(before.total + Decimal(kwh)), after_s=3600 * len(self.booked))
        self.position, charges = rate(flat("0.56"), self.position, after)
        self.booked += transfers(POINT, self.position, charges)

    def correct(self, original: Transfer, yuan: str, number: str) -> Transfer:
        amount = Money.yuan(yuan)
        return self.post(
            ledger.correct(original, self.booked, amount=amount, number=number, at=self._now())
        )

    def post(self, transfer: Transfer) -> Transfer:
        self.booked.append(transfer)
        return transfer

    def holds(self) -> dict[str, str]:
        """Every book that is not at nothing."""
        held = balances(self.booked)
        assert sum(money.fen for money in held.values()) == 0
        return {NAMES[book]: str(money) for book, money in held.items() if money != ZERO}

    def _now(self) -> datetime:
        return EVENING + timedelta(hours=len(self.booked))


ACCOUNT = UUID("00000000-0000-0000-0000-0000000000ac")
MINE = ledger.prepaid(PURSE)
CASH = ledger.clearing("cash")
ENERGY = ledger.income("energy")
OWED = ledger.receivable(ACCOUNT)
GIFTS = ledger.expenses("subsidy")
NAMES = {
    MINE: "purse",
    CASH: "cash",
    ENERGY: "energy",
    OWED: "owed",
    GIFTS: "gifts",
    ledger.OPENING: "opening",
    ledger.income("common"): "common",
    ledger.income("service"): "service",
}


def test_a_resident_tops_up_50_uses_12_kwh_and_is_refunded_10():
    story = Story()

    # ¥50 at the counter: the cash desk has 50 of ours (a debit), we owe 50 in supply (a credit)
    story.top_up("50", "cash:1")
    assert story.holds() == {"cash": "-50.00", "purse": "50.00"}

    # 12 kWh × 0.56 = 6.72 earned; 50 − 6.72 = 43.28 still owed
    story.use("12")
    assert story.holds() == {"cash": "-50.00", "energy": "6.72", "purse": "43.28"}

    # all of the 43.28 was paid for; 10 of it goes back: 43.28 − 10 = 33.28, and 40 are left in cash
    assert refundable(MINE, story.booked, subsidies_first=True) == Money.yuan("43.28")
    story.move("10", Reason.REFUND, debit=MINE, credit=CASH, cause="cash:2")
    assert story.holds() == {"cash": "-40.00", "energy": "6.72", "purse": "33.28"}

    # what the resident reads
    lines = statement(MINE, story.booked).lines
    assert [line.transfer.reason for line in lines] == [Reason.TOP_UP, Reason.CHARGE, Reason.REFUND]
    assert [str(line.amount) for line in lines] == ["50.00", "-6.72", "-10.00"]
    assert [str(line.balance) for line in lines] == ["50.00", "43.28", "33.28"]


def test_a_wrong_top_up_is_corrected_and_what_was_used_stays_charged():
    story = Story()

    # 500 was typed for 50
    wrong = story.top_up("500", "cash:1")
    story.use("12")  # 12 × 0.56 = 6.72
    assert story.holds() == {"cash": "-500.00", "energy": "6.72", "purse": "493.28"}

    # 450 too much is taken back: 493.28 − 450 = 43.28; the cash desk owes the 50 it took
    story.correct(wrong, "450", "1")
    assert story.holds() == {"cash": "-50.00", "energy": "6.72", "purse": "43.28"}

    # no more than the 50 that are left of it can still be taken back
    assert correctable(wrong, story.booked) == Money.yuan("50")


def test_a_top_up_credited_to_the_wrong_purse_may_leave_it_below_zero():
    story = Story()

    # 20 that was meant for a neighbour; 12.5 kWh × 0.56 = 7.00 were used of it before anyone saw
    wrong = story.top_up("20", "cash:1")
    story.use("12.5")
    story.correct(wrong, "20", "1")

    # all 20 go; the 7.00 that were used are owed, and the next top-up makes them up
    assert story.holds() == {"energy": "7.00", "purse": "-7.00"}


def test_a_correction_made_in_error_is_itself_corrected():
    story = Story()
    first = story.top_up("50", "cash:1")
    story.top_up("20", "cash:2")
    assert story.holds() == {"cash": "-70.00", "purse": "70.00"}

    # the second should have gone, and the first was taken: 70 − 50 = 20
    mistake = story.correct(first, "50", "1")
    assert story.holds() == {"cash": "-20.00", "purse": "20.00"}

    # the mistake is taken back: 20 + 50 = 70
    story.correct(mistake, "50", "1")
    assert story.holds() == {"cash": "-70.00", "purse": "70.00"}

    # and the second goes: 70 − 20 = 50; the first may be corrected again one day, whole
    story.correct(story.booked[1], "20", "1")
    assert story.holds() == {"cash": "-50.00", "purse": "50.00"}
    assert correctable(first, story.booked) == Money.yuan("50")
    assert correctable(mistake, story.booked) == ZERO

    # nothing was erased: five lines say what happened
    assert [str(line.balance) for line in statement(MINE, story.booked).lines] == [
        "50.00",
        "70.00",
        "20.00",
        "70.00",
        "50.00",
    ]


def test_an_old_debt_is_repaid_a_part_of_each_top_up():
    story = Story()
    agreement = Agreement(
        number="A7",
        account=ACCOUNT,
        debt=Purpose.ELECTRICITY,
        amount=Money.yuan("30"),
        part=Decimal("0.25"),
        week_cap=Money.yuan("20"),
        also_from=frozenset(),
        since=EVENING,
        until=None,
    )

    def top_up(yuan: str, cause: str) -> Allocation:
        topup = Transfer(
            CASH, MINE, Money.yuan(yuan), Reason.TOP_UP, cause, EVENING + timedelta(hours=1)
        )
        done = allocate(
            topup,
            purpose=Purpose.ELECTRICITY,
            booked=story.booked,
            agreements=[agreement],
            carried={},
        )
        story.booked += done.transfers
        return done

    # 30 are owed from the old system
    story.move("30", Reason.OPENING, debit=OWED, credit=ledger.OPENING, cause="old:0301")
    assert story.holds() == {"opening": "30.00", "owed": "-30.00"}

    # 25 % of 60 is 15: 30 − 15 = 15 owed, 60 − 15 = 45 to use
    assert [str(line.amount) for line in top_up("60", "cash:1").lines] == ["15.00", "45.00"]
    assert story.holds() == {
        "cash": "-60.00",
        "opening": "30.00",
        "owed": "-15.00",
        "purse": "45.00",
    }

    # 25 % of 60 again would be 15, but the week has 20 − 15 = 5 left: 10 owed, 45 + 55 = 100 to use
    assert [str(line.amount) for line in top_up("60", "cash:2").lines] == ["5.00", "55.00"]
    assert story.holds() == {
        "cash": "-120.00",
        "opening": "30.00",
        "owed": "-10.00",
        "purse": "100.00",
    }

    # the rest is paid at the counter for itself, and no top-up repays any more
    story.move("10", Reason.REPAYMENT, debit=CASH, credit=OWED, cause="cash:3")
    assert [str(line.amount) for line in top_up("60", "cash:4").lines] == ["60.00"]
    assert story.holds() == {"cash": "-190.00", "opening": "30.00", "purse": "160.00"}


def test_emergency_credit_is_taken_on_a_sunday_and_repaid_by_the_next_top_up():
    story = Story()
    policy = Policy(emergency=EmergencyCredit(Money.yuan("10"), offered_at=ZERO))

    def stands(*, taken: bool) -> CreditState:
        held = credit_balance(MINE, story.booked)
        return credit_state(policy, held, is_emergency_taken=taken)

    # ¥5; 10 kWh × 0.56 = 5.60: 0.60 below zero, and 10 are offered
    story.top_up("5", "cash:1")
    story.use("10")
    assert story.holds() == {"cash": "-5.00", "energy": "5.60", "purse": "-0.60"}
    assert stands(taken=False) is CreditState.EC_OFFERED

    # taken; nothing is booked for that. 10 kWh more: 20 × 0.56 = 11.20, and 5 − 11.20 = −6.20
    assert stands(taken=True) is CreditState.EC_IN_USE
    story.use("10")
    assert story.holds() == {"cash": "-5.00", "energy": "11.20", "purse": "-6.20"}
    assert stands(taken=True) is CreditState.EC_IN_USE

    # ¥20: 6.20 of it repay what was lent, 13.80 are to use
    topup = Transfer(
        CASH, MINE, Money.yuan("20"), Reason.TOP_UP, "cash:2", EVENING + timedelta(days=1)
    )
    done = allocate(
        topup, purpose=Purpose.ELECTRICITY, booked=story.booked, agreements=[], carried={}
    )
    story.booked += done.transfers
    assert [(line.kind, str(line.amount)) for line in done.lines] == [
        (Kind.EMERGENCY, "6.20"),
        (Kind.BALANCE, "13.80"),
    ]
    assert story.holds() == {"cash": "-25.00", "energy": "11.20", "purse": "13.80"}
    assert is_repaid(policy, credit_balance(MINE, story.booked))


def test_a_subsidy_is_used_and_never_paid_out():
    story = Story()

    # the school gives 30, the student pays 20
    story.move("30", Reason.SUBSIDY, debit=GIFTS, credit=MINE, cause="2026-11:0301")
    story.top_up("20", "cash:1")
    assert story.holds() == {"cash": "-20.00", "gifts": "-30.00", "purse": "50.00"}

    # 25 kWh × 0.56 = 14.00, from the gift first: 16 of it are left, and all of the 20 paid
    story.use("25")
    assert story.holds() == {
        "cash": "-20.00",
        "energy": "14.00",
        "gifts": "-30.00",
        "purse": "36.00",
    }
    assert refundable(MINE, story.booked, subsidies_first=True) == Money.yuan("20")

    # the term ends: the 16 that were not used lapse 清零
    story.move("16", Reason.WRITE_OFF, debit=MINE, credit=GIFTS, cause="2026-11:0301:end")
    assert story.holds() == {
        "cash": "-20.00",
        "energy": "14.00",
        "gifts": "-14.00",
        "purse": "20.00",
    }
    assert refundable(MINE, story.booked, subsidies_first=True) == Money.yuan("20")


def test_a_share_of_the_stairs_light_is_charged_and_taken_back_when_the_meter_was_misread():
    story = Story()
    story.top_up("50", "cash:1")
    terms = Terms(
        number="2026-11/stairs",
        item="common",
        commodity="electricity",
        by=By.AREA,
        vacant=Vacant.OWNER,
        loss=Loss.SHOWN,
        first=date(2026, 11, 1),
        last=date(2026, 11, 30),
        unit="kWh",
        weighed_in="m²",
        currency="CNY",
    )

    def shared(kwh: str, number: str) -> Transfer:
        """60 of 300 m² is mine; the neighbours' part of the story is theirs."""
        month = (EVENING, EVENING + timedelta(days=30))
        light = Use(None, (MeterUse("stairs light", Decimal(kwh), *month),), ())
        sheet = share_use(
            replace(terms, number=number),
            [
                Member("0301", "Wang", Standing.OCCUPIED, Decimal(60), 30),
                Member("0302", "the owner", Standing.OWN, Decimal(240), 30),
            ],
            light,
            price=Decimal("0.56"),
        )
        payers = {"Wang": Payer(MINE, Purpose.ELECTRICITY)}
        (mine,) = charge_shares(sheet, payers, at=EVENING + timedelta(days=31))
        return story.post(mine)

    # 100 kWh × 0.56 = 56.00; 60 ÷ 300 of it is 11.20; 50 − 11.20 = 38.80
    misread = shared("100", "2026-11/stairs")
    assert story.holds() == {"cash": "-50.00", "common": "11.20", "purse": "38.80"}

    # the light had used 10 kWh: the whole share is taken back, and one of 5.60 × 60 ÷ 300 = 1.12 charged
    story.correct(misread, "11.20", "1")
    assert story.holds() == {"cash": "-50.00", "purse": "50.00"}
    shared("10", "2026-11/stairs/2")
    assert story.holds() == {"cash": "-50.00", "common": "1.12", "purse": "48.88"}


def test_an_account_is_closed_and_the_rest_is_refunded():
    story = Story()
    story.top_up("50", "cash:1")
    story.move("5", Reason.SUBSIDY, debit=GIFTS, credit=MINE, cause="welcome")

    # the closing reading: 20 kWh × 0.56 = 11.20, and a fee of 2 for the closing: 55 − 13.20 = 41.80
    story.use("20")
    story.move("2", Reason.FEE, debit=MINE, credit=ledger.income("service"), cause="closing:0301")
    assert story.holds() == {
        "cash": "-50.00",
        "energy": "11.20",
        "gifts": "-5.00",
        "purse": "41.80",
        "service": "2.00",
    }

    # the gift was used up first, so all 41.80 were paid for; cash 50 − 41.80 = 8.20
    assert refundable(MINE, story.booked, subsidies_first=True) == Money.yuan("41.80")
    story.move("41.80", Reason.REFUND, debit=MINE, credit=CASH, cause="closing:0301")
    assert story.holds() == {
        "cash": "-8.20",
        "energy": "11.20",
        "gifts": "-5.00",
        "service": "2.00",
    }


def test_an_account_closed_below_zero_leaves_a_debt():
    story = Story()
    story.top_up("5", "cash:1")
    story.use("20")  # 20 × 0.56 = 11.20; 5 − 11.20 = −6.20

    # the purse is closed at nothing, and the account owes the 6.20
    story.move("6.20", Reason.DEBT, debit=OWED, credit=MINE, cause="closing:0301")
    assert story.holds() == {"cash": "-5.00", "energy": "11.20", "owed": "-6.20"}
    assert statement(OWED, story.booked).closing == Money.yuan("6.20")

    # 5 are paid a month later; 1.20 is given up
    story.move("5", Reason.REPAYMENT, debit=CASH, credit=OWED, cause="cash:2")
    story.move(
        "1.20",
        Reason.WRITE_OFF,
        debit=ledger.expenses("subsidy"),
        credit=OWED,
        cause="closing:0301",
    )
    assert story.holds() == {"cash": "-10.00", "energy": "11.20", "gifts": "-1.20"}
