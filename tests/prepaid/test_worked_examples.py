"""Stories with every amount worked out by hand, and the books after each step."""

from prepaid import ledger
from prepaid.ledger import Reason, Transfer, credit_balance
from prepaid.money import Money
from prepaid.rating import open_position, transfers
from prepaid.reading import Supply
from prepaid.supply import desired
from tests.prepaid.situations import knowing
from tests.prepaid.values import EVENING, POINT, PURSE, flat, rate, read


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
