"""Common costs shared out: to the fen, whatever the order, and with a sheet that a tenant can check by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from prepaid import ledger
from prepaid.common_use import Invoice, MeterUse, Use
from prepaid.ledger import Reason, balances, correct
from prepaid.money import ZERO, Money
from prepaid.purse import Purpose
from prepaid.sharing import (
    By,
    CannotShare,
    Finding,
    Loss,
    Member,
    Payer,
    Sheet,
    Standing,
    Terms,
    Vacant,
    apportion,
    share,
    share_use,
    share_with_loss,
    transfers,
)

NOVEMBER = Terms(
    number="2026-11/1",
    item="common",
    commodity="electricity",
    by=By.AREA,
    vacant=Vacant.OWNER,
    loss=Loss.SHARED,
    first=date(2026, 11, 1),
    last=date(2026, 11, 30),
    unit="kWh",
    weighed_in="m²",
    currency="CNY",
)
BEGINNING = datetime(2026, 10, 31, 16, tzinfo=UTC)  # 1 November 00:00 in China
END = datetime(2026, 11, 30, 16, tzinfo=UTC)


def room(
    name: str,
    weight: str = "1",
    *,
    days: int = 30,
    payer: str | None = None,
    standing: Standing = Standing.OCCUPIED,
) -> Member:
    return Member(name, payer or f"of {name}", standing, Decimal(weight), days)


def meter(name: str, used: str, *, since: datetime = BEGINNING, until: datetime = END) -> MeterUse:
    return MeterUse(name, Decimal(used), since, until)


def shares(sheet: Sheet) -> list[str]:
    return [str(line.share) for line in sheet.lines]


# A cost that is known as an amount.


def test_a_cost_is_shared_by_area():
    # 300.00 over 50 + 70 + 80 = 200 m², each for 30 days: 1.50 a m²
    sheet = share(
        NOVEMBER, [room("101", "50"), room("102", "70"), room("103", "80")], Money.yuan("300")
    )
    assert shares(sheet) == ["75.00", "105.00", "120.00"]
    assert [str(line.proportion) for line in sheet.lines] == ["0.250000", "0.350000", "0.400000"]
    assert (sheet.counted, sheet.charged, sheet.not_charged) == (6000, Money.yuan("300"), ZERO)


def test_the_fen_left_over_goes_to_the_largest_remainder():
    # 10.00 over 1 : 2 : 4 = 7: 142.857, 285.714 and 571.428 fen; down to 142 + 285 + 571 = 998;
    # two fen left: to 0.857 (101) and to 0.714 (102)
    sheet = share(
        replace(NOVEMBER, by=By.RATIO),
        [room("101", "1"), room("102", "2"), room("103", "4")],
        Money.yuan("10"),
    )
    assert shares(sheet) == ["1.43", "2.86", "5.71"]
    # exact shares to a hundredth of a hundredth of a fen: 1428571.4, 2857142.9 and 5714285.7 millionths;
    # down to 1428571 + 2857142 + 5714285 = 9999998; two left, to 0.9 and to 0.7
    assert [str(line.exact) for line in sheet.lines] == ["1.428571", "2.857143", "5.714286"]
    assert [str(line.difference) for line in sheet.lines] == ["0.001429", "0.002857", "-0.004286"]


def test_of_equal_remainders_the_room_that_comes_first_gets_the_fen():
    # 1.00 over three: 33.33 fen each; one fen is left
    terms = replace(NOVEMBER, by=By.EQUAL)
    sheet = share(terms, [room("103"), room("101"), room("102")], Money.yuan("1"))
    assert [line.member.room for line in sheet.lines] == ["101", "102", "103"]
    assert shares(sheet) == ["0.34", "0.33", "0.33"]


def test_one_room_bears_all():
    assert shares(share(NOVEMBER, [room("101", "0.01")], Money.yuan("99.99"))) == ["99.99"]


def test_a_cost_of_nothing_is_shared_as_nothing():
    sheet = share(NOVEMBER, [room("101", "0"), room("102", "0")], ZERO)
    assert shares(sheet) == ["0.00", "0.00"]
    assert [line.proportion for line in sheet.lines] == [0, 0]


def test_a_room_that_changed_hands_is_shared_by_days():
    # 101: 60 m² for 30 days is 1800; 102: 60 m² for 10 days 600, empty for 5 days 300, for 15 days 900.
    # 36.00 over 3600: one fen each
    sheet = share(
        NOVEMBER,
        [
            room("101", "60"),
            room("102", "60", days=10, payer="Wang"),
            room("102", "60", days=5, payer="the owner", standing=Standing.VACANT),
            room("102", "60", days=15, payer="Zhao"),
        ],
        Money.yuan("36"),
    )
    assert [(line.member.payer, str(line.share)) for line in sheet.lines] == [
        ("of 101", "18.00"),
        ("Wang", "6.00"),
        ("Zhao", "9.00"),
        ("the owner", "3.00"),
    ]


def test_days_do_not_weigh_twice_where_usage_does():
    # Who lived here 10 days used 100 kWh in them: as much as who used 100 kWh in 30 days.
    sheet = share(
        replace(NOVEMBER, by=By.USAGE),
        [room("101", "100"), room("102", "100", days=10)],
        Money.yuan("50"),
    )
    assert shares(sheet) == ["25.00", "25.00"]


MIXED = [
    room("101", "50"),
    room("102", "50", standing=Standing.VACANT, payer="the owner"),
    room("103", "50", standing=Standing.EXEMPT),
    room("104", "50", standing=Standing.OWN, payer="the manager"),
]


@pytest.mark.parametrize(
    ("vacant", "expected", "charged"),
    [
        # 90.00 over three times 50 m²; the owner pays for the empty room, nobody for the manager's
        (Vacant.OWNER, ["30.00", "30.00", "0.00", "30.00"], "60.00"),
        # 90.00 over two
        (Vacant.OTHERS, ["45.00", "0.00", "0.00", "45.00"], "45.00"),
        # 90.00 over three; nobody pays for the empty room
        (Vacant.SHOWN, ["30.00", "30.00", "0.00", "30.00"], "30.00"),
    ],
)
def test_an_empty_room_is_paid_by_its_owner_by_the_others_or_by_nobody(vacant, expected, charged):
    sheet = share(replace(NOVEMBER, vacant=vacant), MIXED, Money.yuan("90"))
    assert shares(sheet) == expected
    assert sheet.charged == Money.yuan(charged)
    assert sheet.charged + sheet.not_charged == Money.yuan("90")


# A cost that follows from meters.


def test_the_common_use_and_the_loss_are_priced():
    # main 1000, light 80, lift 100, flats 500 + 290: loss 1000 − 180 − 790 = 30; shared 180 + 30 = 210 kWh;
    # 210 × 0.56 = 117.60; by usage 500 : 290 of 790: 74.430 and 43.170
    use = Use(
        main=meter("main", "1000"),
        public=(meter("light", "80"), meter("lift", "100")),
        subs=(meter("a", "500"), meter("b", "290")),
    )
    terms = replace(NOVEMBER, by=By.USAGE, weighed_in="kWh")
    sheet = share_use(terms, [room("101", "500"), room("102", "290")], use, price=Decimal("0.56"))
    assert (use.loss, sheet.shared_use, sheet.cost) == (30, 210, Money.yuan("117.60"))
    assert shares(sheet) == ["74.43", "43.17"]
    # 210 × 500 ÷ 790 = 132.91139 and 77.08861 kWh; down to 132.9113 + 77.0886, the ten-thousandth left to 0.9
    assert [str(line.used) for line in sheet.lines] == ["132.9114", "77.0886"]
    assert (sheet.findings, sheet.loss_cost) == ((), None)


def test_a_loss_that_is_only_shown_is_priced_and_not_shared():
    # 180 × 0.56 = 100.80 are shared; 30 × 0.56 = 16.80 are not
    use = Use(meter("main", "1000"), (meter("public", "180"),), (meter("a", "790"),))
    terms = replace(NOVEMBER, loss=Loss.SHOWN)
    sheet = share_use(terms, [room("101", "50")], use, price=Decimal("0.56"))
    assert (sheet.shared_use, sheet.cost) == (180, Money.yuan("100.80"))
    assert (use.loss, sheet.loss_cost) == (30, Money.yuan("16.80"))
    assert sheet.findings == (Finding.LOSS_SHOWN,)


def test_without_public_meters_all_that_the_flats_did_not_use_is_shared():
    use = Use(meter("main", "1000"), (), (meter("a", "500"), meter("b", "440")))
    sheet = share_use(NOVEMBER, [room("101", "50")], use, price=Decimal("0.50"))
    assert (sheet.shared_use, sheet.cost) == (60, Money.yuan("30"))


def test_without_a_main_meter_the_loss_is_not_known():
    use = Use(None, (meter("light", "80"),), ())
    shown = share_use(replace(NOVEMBER, loss=Loss.SHOWN), [room("101")], use, price=Decimal("0.50"))
    assert (shown.cost, shown.findings) == (Money.yuan("40"), ())
    assert (use.loss, use.error_band, shown.loss_cost) == (None, None, None)
    with pytest.raises(CannotShare, match="no main meter to show it"):
        share_use(NOVEMBER, [room("101")], use, price=Decimal("0.50"))


@pytest.mark.parametrize("loss", Loss)
def test_a_negative_loss_is_reported_and_never_shared(loss: Loss):
    # flats and light measured 950 + 80, the main meter 1000: a meter is wrong by 30. The light is shared,
    # 80 × 0.50 = 40.00; nothing is given back for the loss
    use = Use(meter("main", "1000"), (meter("light", "80"),), (meter("a", "950"),))
    sheet = share_use(
        replace(NOVEMBER, loss=loss), [room("101"), room("102")], use, price=Decimal("0.50")
    )
    assert use.loss == -30
    assert shares(sheet) == ["20.00", "20.00"]
    assert sheet.findings == (Finding.LOSS_NEGATIVE,)
    assert sheet.loss_cost is None


@pytest.mark.parametrize("flats", ["1000", "1000.01"])
def test_a_loss_of_nothing_or_less_costs_nothing(flats: str):
    use = Use(meter("main", "1000"), (), (meter("a", flats),))
    sheet = share_use(replace(NOVEMBER, loss=Loss.SHOWN), [room("101")], use, price=Decimal("0.50"))
    assert (sheet.cost, sheet.loss_cost) == (ZERO, None)
    assert sheet.findings == ((Finding.LOSS_NEGATIVE,) if flats == "1000.01" else ())


def test_negative_common_use_leaves_nothing_to_share():
    use = Use(meter("main", "900"), (), (meter("a", "950"),))
    sheet = share_use(NOVEMBER, [room("101"), room("102")], use, price=Decimal("0.50"))
    assert (use.loss, sheet.shared_use, sheet.cost) == (-50, 0, ZERO)
    assert shares(sheet) == ["0.00", "0.00"]
    assert [line.used for line in sheet.lines] == [0, 0]
    assert sheet.findings == (Finding.LOSS_NEGATIVE,)


def test_meters_read_at_different_times_leave_an_error_band():
    # The flat's meter was read an hour late at the end: 30 days and 1 hour is 721 hours. At its mean load
    # it measured 1442 ÷ 721 × 1 = 2 kWh in that hour.
    late = END + timedelta(hours=1)
    use = Use(meter("main", "1500"), (), (meter("a", "1442", until=late),))
    sheet = share_use(NOVEMBER, [room("101")], use, price=Decimal("0.50"))
    assert (use.apart, use.error_band) == (timedelta(hours=1), 2)
    assert sheet.findings == (Finding.TIMES_DIFFER,)
    assert sheet.use is not None
    assert [meter.until for meter in sheet.use.meters] == [END, late]


def test_the_error_band_is_rounded_up_and_is_nothing_at_the_same_instants():
    same = Use(meter("main", "1500"), (), (meter("a", "1442"),))
    assert (same.apart, same.error_band) == (timedelta(0), 0)
    # one second of 30 days, less a second: 1000 ÷ 2591999 = 0.000385…
    early = Use(
        meter("main", "1500"), (), (meter("a", "1000", since=BEGINNING + timedelta(seconds=1)),)
    )
    assert early.error_band == Decimal("0.0004")


def test_the_parks_formula_prices_usage_with_its_loss():
    # invoice 6000.00 for 12000 kWh: 0.50 before tax. Tenants and the manager's office used 10 000 kWh, in
    # common 800, loss 200: coefficient 1000 ÷ 10 000 = 0.1. With 13 % tax a kWh used bears
    # 0.50 × 0.1 × 1.13 = 0.0565: A 6000 → 339.00, B 3000 → 169.50, office 1000 → 56.50; together 565.00
    use = Use(
        main=meter("main", "11000"),
        public=(meter("public", "800"),),
        subs=(meter("A", "6000"), meter("B", "3000"), meter("office", "1000")),
    )
    members = [
        room("A", "6000"),
        room("B", "3000"),
        room("office", "1000", standing=Standing.OWN, payer="the manager"),
    ]
    terms = replace(NOVEMBER, by=By.USAGE, weighed_in="kWh")
    invoice = Invoice(Money.yuan("6000"), Decimal("12000"), Decimal("0.13"))

    sheet = share_with_loss(terms, members, use, invoice=invoice)

    assert (sheet.price, sheet.coefficient) == (Decimal("0.5"), Decimal("0.1"))
    assert shares(sheet) == ["339.00", "169.50", "56.50"]
    assert (sheet.cost, sheet.charged) == (Money.yuan("565"), Money.yuan("508.50"))


def test_a_price_that_no_decimal_holds_is_rounded_only_where_it_is_shown():
    # 100.00 ÷ 3 kWh = 33.3333… a kWh; 3 kWh shared are the 100.00 again, not 99.999999
    use = Use(meter("main", "3"), (), ())
    terms = replace(NOVEMBER, by=By.USAGE)
    invoice = Invoice(Money.yuan("100"), Decimal(3), Decimal(0))
    sheet = share_with_loss(terms, [room("101", "7")], use, invoice=invoice)
    assert (sheet.price, sheet.cost) == (Decimal("33.333333"), Money.yuan("100"))
    assert sheet.coefficient == Decimal("0.428571")  # 3 ÷ 7


def test_the_parks_formula_is_by_usage_and_shares_the_loss():
    use = Use(meter("main", "3"), (), ())
    invoice = Invoice(Money.yuan("100"), Decimal(3), Decimal(0))
    for terms in (NOVEMBER, replace(NOVEMBER, by=By.USAGE, loss=Loss.SHOWN)):
        with pytest.raises(CannotShare, match="by usage, and shares the loss"):
            share_with_loss(terms, [room("101")], use, invoice=invoice)


def test_dong_have_no_decimals():
    # 10 kWh × 1806 = 18 060 đồng over three rooms: 6020 each
    use = Use(None, (meter("light", "10"),), ())
    terms = replace(NOVEMBER, currency="VND", by=By.EQUAL, loss=Loss.SHOWN)
    sheet = share_use(terms, [room("1"), room("2"), room("3")], use, price=Decimal("1806"))
    assert [line.share for line in sheet.lines] == [Money(6020)] * 3
    assert [line.exact for line in sheet.lines] == [Decimal("6020")] * 3


def test_what_no_decimal_of_four_places_holds_is_still_shared_whole():
    use = Use(None, (meter("light", "0.123456789"),), ())
    terms = replace(NOVEMBER, by=By.EQUAL, loss=Loss.SHOWN)
    sheet = share_use(terms, [room("1"), room("2")], use, price=Decimal("1"))
    # 0.123456789 over two: half of an odd last digit; the first room gets it
    assert [str(line.used) for line in sheet.lines] == ["0.061728395", "0.061728394"]


# Charging the shares.

WANG, ZHAO = UUID(int=1), UUID(int=2)


def test_shares_are_charged_to_purses_and_to_bills():
    sheet = share(NOVEMBER, [room("101", "1"), room("102", "2")], Money.yuan("30"))
    payers = {
        "of 101": Payer(ledger.prepaid(WANG), Purpose.ELECTRICITY),
        "of 102": Payer(ledger.receivable(ZHAO), None),
    }
    made = transfers(sheet, payers, at=END)
    assert balances(made) == {
        ledger.prepaid(WANG): Money.yuan("-10"),
        ledger.receivable(ZHAO): Money.yuan("-20"),
        "Income:common": Money.yuan("30"),
    }
    assert {transfer.reason for transfer in made} == {Reason.SHARE}
    # charged again, the same ids: nobody pays twice
    assert [t.id for t in transfers(sheet, payers, at=END)] == [t.id for t in made]


def test_a_sheet_is_taken_back_transfer_by_transfer():
    sheet = share(NOVEMBER, [room("101", "1"), room("102", "2")], Money.yuan("30"))
    payers = {name: Payer(ledger.prepaid(WANG), Purpose.UTILITY) for name in ("of 101", "of 102")}
    books = list(transfers(sheet, payers, at=END))
    for original in tuple(books):
        books.append(correct(original, books, amount=original.amount, number="1", at=END))
    assert set(balances(books).values()) == {ZERO}


@pytest.mark.parametrize(
    ("purpose", "commodity", "may"),
    [
        (Purpose.ELECTRICITY, "electricity", True),
        (Purpose.UTILITY, "electricity", True),
        (Purpose.PROPERTY, "electricity", True),
        (Purpose.WATER, "electricity", False),
        (Purpose.ELECTRICITY, None, False),  # the care of a lift
        (Purpose.UTILITY, None, False),
        (Purpose.PROPERTY, None, True),
    ],
)
def test_no_light_goes_out_for_a_cost_that_is_not_of_light(purpose, commodity, may):
    sheet = share(replace(NOVEMBER, commodity=commodity), [room("101")], Money.yuan("30"))
    payers = {"of 101": Payer(ledger.prepaid(WANG), purpose)}
    if may:
        assert len(transfers(sheet, payers, at=END)) == 1
    else:
        with pytest.raises(CannotShare, match=f"a purse for {purpose} does not pay for common"):
            transfers(sheet, payers, at=END)


def test_nobody_is_charged_nothing_or_for_a_row_that_is_only_shown():
    sheet = share(replace(NOVEMBER, vacant=Vacant.SHOWN), MIXED, Money.yuan("90"))
    made = transfers(sheet, {"of 101": Payer(ledger.prepaid(WANG), Purpose.UTILITY)}, at=END)
    assert [transfer.amount for transfer in made] == [Money.yuan("30")]


def test_a_payer_nobody_knows_stops_the_sheet():
    sheet = share(NOVEMBER, [room("101")], Money.yuan("30"))
    with pytest.raises(CannotShare, match="room 101: it is not known where of 101 pays"):
        transfers(sheet, {}, at=END)


def test_two_rows_that_read_the_same_are_not_one_charge():
    sheet = share(NOVEMBER, [room("1:2", payer="3"), room("1", payer="2:3")], Money.yuan("30"))
    payers = {name: Payer(ledger.prepaid(WANG), Purpose.UTILITY) for name in ("3", "2:3")}
    with pytest.raises(CannotShare, match="without colons"):
        transfers(sheet, payers, at=END)


# What cannot be shared.


def test_rooms_that_all_weigh_nothing_cannot_bear_a_cost():
    with pytest.raises(CannotShare, match=r"30.00 cannot be shared by area: .* are 0"):
        share(NOVEMBER, [room("101", "0"), room("102", days=0)], Money.yuan("30"))
    exempt = [room("101", standing=Standing.EXEMPT)]
    with pytest.raises(CannotShare, match="are 0"):
        share(NOVEMBER, exempt, Money.yuan("30"))


def test_a_list_that_cannot_be_right_is_refused_with_the_room_to_mend():
    cost = Money.yuan("30")
    with pytest.raises(CannotShare, match="no room"):
        share(NOVEMBER, [], cost)
    with pytest.raises(CannotShare, match="room 101 of of 101 is listed twice as occupied"):
        share(NOVEMBER, [room("101", "1", days=3), room("101", "2", days=4)], cost)
    with pytest.raises(CannotShare, match="room 101 counts 31 days; the period has 30"):
        share(NOVEMBER, [room("101", days=20), room("101", days=11, payer="Zhao")], cost)
    with pytest.raises(CannotShare, match="room 101 weighs 2; where all share equally"):
        share(replace(NOVEMBER, by=By.EQUAL), [room("101", "2")], cost)
    with pytest.raises(ValueError, match="not negative: -30"):
        share(NOVEMBER, [room("101")], Money.yuan("-30"))


def test_a_weight_below_nothing_cannot_be_entered():
    with pytest.raises(ValueError, match="the weight of room 101 is not negative"):
        room("101", "-1")
    with pytest.raises(ValueError, match="no fewer than 0 days"):
        room("101", days=-1)
    with pytest.raises(ValueError, match="names"):
        room("")


@pytest.mark.parametrize("value", [1.0, 1, "1", None])
def test_what_is_no_exact_decimal_cannot_be_entered(value):
    with pytest.raises(TypeError):
        Member("101", "Wang", Standing.OCCUPIED, value, 30)
    with pytest.raises(TypeError):
        MeterUse("main", value, BEGINNING, END)
    with pytest.raises(TypeError):
        Invoice(Money(1), value, Decimal(0))
    with pytest.raises(TypeError):
        Invoice(Money(1), Decimal(1), value)
    with pytest.raises(TypeError):
        share_use(NOVEMBER, [room("1")], Use(meter("m", "1"), (), ()), price=value)


def test_meters_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match="given twice: meter a"):
        Use(meter("main", "9"), (meter("a", "1"),), (meter("a", "1"),))
    with pytest.raises(ValueError, match="none is given"):
        Use(None, (meter("a", "1"),), (meter("b", "1"),))
    with pytest.raises(ValueError, match="a main meter or by meters of its own"):
        Use(None, (), ())
    with pytest.raises(ValueError, match="at the end after"):
        meter("a", "1", until=BEGINNING)
    with pytest.raises(ValueError, match="time zone"):
        meter("a", "1", since=BEGINNING.replace(tzinfo=None))


def test_an_invoice_without_a_quantity_or_below_nothing_gives_no_price():
    with pytest.raises(ValueError, match="gives no price"):
        Invoice(Money(1), Decimal(0), Decimal(0))
    with pytest.raises(ValueError, match="not negative"):
        Invoice(Money(-1), Decimal(1), Decimal(0))


def test_terms_that_cannot_be_right_are_refused():
    with pytest.raises(ValueError, match="ends no earlier"):
        replace(NOVEMBER, last=date(2026, 10, 31))
    with pytest.raises(ValueError, match="'RMB'"):
        replace(NOVEMBER, currency="RMB")
    assert replace(NOVEMBER, last=date(2026, 11, 1)).days == 1


# Properties.

weights = st.decimals(min_value=0, max_value=10**6, places=3)
costs = st.integers(0, 10**9).map(Money)
terms_of = st.builds(
    replace,
    st.just(NOVEMBER),
    by=st.sampled_from([By.AREA, By.RATIO, By.USAGE]),
    vacant=st.sampled_from(Vacant),
    loss=st.sampled_from(Loss),
    currency=st.sampled_from(["CNY", "VND", "KWD"]),
)


@st.composite
def members(draw: st.DrawFn) -> list[Member]:
    """One to twelve rooms; the first is lived in and weighs something."""
    made = [room("000", str(draw(weights.filter(bool))), days=draw(st.integers(1, 30)))]
    for number in range(draw(st.integers(0, 11))):
        made.append(
            Member(
                f"{number % 7:03}",
                f"payer {number}",
                draw(st.sampled_from(Standing)),
                draw(weights),
                draw(st.integers(0, 10)) if number > 0 else 0,
            )
        )
    return made


def within_the_period(listed: list[Member]) -> list[Member]:
    return [replace(member, days=min(member.days, 10)) for member in listed]


@given(terms_of, members().map(within_the_period), costs, st.randoms(use_true_random=False))
def test_shares_add_up_to_the_cost_in_any_order(terms, listed, cost, shuffled):
    sheet = share(terms, listed, cost)
    assert sum(line.share.fen for line in sheet.lines) == cost.fen
    assert sum(line.exact for line in sheet.lines) == cost.amount(terms.currency)
    assert sum(line.proportion for line in sheet.lines) == 1
    assert sum(line.difference for line in sheet.lines) == 0
    assert sheet.charged + sheet.not_charged == cost

    mixed = list(listed)
    shuffled.shuffle(mixed)
    assert share(terms, mixed, cost) == sheet


@given(terms_of, members().map(within_the_period), costs)
def test_no_share_is_a_fen_or_more_from_the_exact_one(terms, listed, cost):
    def weight(member: Member) -> Fraction:
        if member.standing is Standing.EXEMPT:
            return Fraction(0)
        if member.standing is Standing.VACANT and terms.vacant is Vacant.OTHERS:
            return Fraction(0)
        return Fraction(member.weight) * (1 if terms.by is By.USAGE else member.days)

    together = sum(map(weight, listed))
    for line in share(terms, listed, cost).lines:
        assert abs(line.share.fen - cost.fen * weight(line.member) / together) < 1
        if weight(line.member) == 0:
            assert line.share == ZERO


@given(terms_of, members().map(within_the_period), costs)
def test_who_weighs_more_pays_no_less(terms, listed, cost):
    lines = sorted(share(terms, listed, cost).lines, key=lambda line: line.counted)
    for lighter, heavier in pairwise(lines):
        assert lighter.share <= heavier.share or lighter.counted == heavier.counted


@given(st.integers(0, 10**6), st.lists(weights, min_size=1, max_size=12), st.data())
def test_a_room_that_grows_pays_no_less_than_before(units, listed, data):
    listed[0] += 1
    which = data.draw(st.integers(0, len(listed) - 1))
    before = apportion(units, listed)
    listed[which] += data.draw(weights)
    assert apportion(units, listed)[which] >= before[which]


quantities = st.decimals(min_value=0, max_value=10**7, places=6)


@given(
    terms_of.filter(lambda terms: terms.currency == "CNY"),
    members().map(within_the_period),
    quantities,
    quantities,
    st.lists(quantities, max_size=5),
    st.decimals(min_value=0, max_value=10, places=6),
)
def test_shared_quantities_add_up_and_are_never_negative(terms, listed, main, public, subs, price):
    use = Use(
        meter("main", str(main)),
        (meter("public", str(public)),),
        tuple(meter(f"sub {number}", str(used)) for number, used in enumerate(subs)),
    )
    sheet = share_use(terms, listed, use, price=price)
    assert sheet.shared_use is not None
    assert sheet.shared_use >= public
    assert sum(Fraction(line.used) for line in sheet.lines) == Fraction(sheet.shared_use)
    assert all(line.used >= 0 and line.share >= ZERO for line in sheet.lines)
    assert (Finding.LOSS_NEGATIVE in sheet.findings) == (main < public + sum(subs))
    # the cost is the exact product, to half a fen
    assert abs(sheet.cost.fen - Fraction(sheet.shared_use) * Fraction(price) * 100) <= Fraction(
        1, 2
    )


def test_units_without_weights_or_below_nothing_cannot_be_apportioned():
    assert apportion(0, []) == []
    assert apportion(0, [Decimal(0)]) == [0]
    with pytest.raises(ValueError, match="all weights are 0"):
        apportion(1, [Decimal(0)])
    with pytest.raises(ValueError, match="negative number"):
        apportion(-1, [Decimal(1)])
    with pytest.raises(ValueError, match="a weight is not negative"):
        apportion(1, [Decimal(-1)])
    with pytest.raises(TypeError):
        apportion(1, [0.5])  # type: ignore[list-item]


def test_the_table_of_the_manual_comes_out_as_printed():
    # docs/sharing.md: 10 kWh at 1.00; 1800 + 2400 + 600 + 1200 = 6000 counted, one fen for six
    listed = [
        room("103", "60", days=10, payer="Li"),
        room("103", "60", days=20, payer="Zhao"),
        room("shop", "90", standing=Standing.EXEMPT),
        room("101", "60", payer="Wang"),
        room("102", "80", standing=Standing.VACANT, payer="its owner"),
    ]
    use = Use(None, (meter("light", "10"),), ())
    terms = replace(NOVEMBER, loss=Loss.SHOWN)
    sheet = share_use(terms, listed, use, price=Decimal("1.00"))
    assert [str(line.counted) for line in sheet.lines] == ["1800", "2400", "600", "1200", "0"]
    assert shares(sheet) == ["3.00", "4.00", "1.00", "2.00", "0.00"]
    assert (sheet.counted, sheet.cost) == (6000, Money.yuan("10"))


def test_a_sheet_that_was_kept_is_printed_again_as_it_was():
    use = Use(meter("main", "1000"), (meter("light", "80"),), (meter("a", "890.05"),))
    listed = [room("101", "33.3"), room("102", "50", standing=Standing.VACANT, days=3)]
    sheet = share_use(NOVEMBER, listed, use, price=Decimal("0.5600"))
    kept = TypeAdapter(Sheet).dump_json(sheet)
    again = TypeAdapter(Sheet).validate_json(kept)
    assert again == sheet
    assert TypeAdapter(Sheet).dump_json(again) == kept
