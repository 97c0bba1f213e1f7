"""Money 金额, and the one place where it is rounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from prepaid import decimals
from prepaid.record import record

_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_WITH_TWO = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF "
    "CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD "
    "HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK "
    "MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD "
    "RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS "
    "UAH USD UYU UZS VES WST XCD YER ZAR ZMW ZWG"
)
_WITH_THREE = "BHD IQD JOD KWD LYD OMR TND"

EXPONENTS = {
    code: exponent
    for exponent, codes in {0: _WITHOUT_DECIMALS, 2: _WITH_TWO, 3: _WITH_THREE}.items()
    for code in codes.split()
}
"""Decimals of each currency's minor unit (ISO 4217): CNY 2, VND 0."""

_DIGITS = 28


@record
@dataclass(frozen=True, slots=True, order=True)
class Money:
    """An amount in whole fen 分 (the currency's minor unit); it may be negative.

    Raises TypeError if made from anything but an int: a float is a bug.
    """

    fen: int

    def __post_init__(self) -> None:
        if type(self.fen) is not int:
            raise TypeError(f"money is a whole number of fen, not {self.fen!r}")

    @classmethod
    def yuan(cls, text: str) -> Money:
        """The amount written as yuan with at most two decimals: Money.yuan("1449.37").

        Raises ValueError if the text is not such an amount, or has more than 28 digits before the point.
        """
        try:
            amount = Decimal(text)
        except ArithmeticError:
            raise ValueError(f"not an amount in yuan: {text!r}") from None
        # A short text may mean a number that takes minutes to write out: 1e999999.
        if not amount.is_finite() or amount.adjusted() >= _DIGITS:
            raise ValueError(f"not an amount in yuan: {text!r}")
        fen = amount.scaleb(2, context=decimals.EXACT)
        if fen != fen.to_integral_value():
            raise ValueError(f"not an amount in yuan with at most two decimals: {text!r}")
        return cls(int(fen))

    @classmethod
    def rounded(cls, amount: Decimal, *, currency: str) -> Money:
        """The exact amount in a currency (yuan, đồng), rounded half-up to its minor unit.

        Nothing else in Wattwell rounds money. Raises KeyError for a code that is not in EXPONENTS.
        """
        return cls(decimals.scaled(amount, places=EXPONENTS[currency]))

    def amount(self, currency: str) -> Decimal:
        """In the currency's unit: 5641 is 56.41 in CNY, and 5641 in VND."""
        return Decimal(self.fen).scaleb(-EXPONENTS[currency], context=decimals.EXACT)

    @classmethod
    def rounded_fraction(cls, amount: Fraction, *, currency: str) -> Money:
        """As rounded, of a quotient that no decimal holds."""
        halves = 2 * abs(amount.numerator) * 10 ** EXPONENTS[currency]
        minor = (halves + amount.denominator) // (2 * amount.denominator)
        return cls(-minor if amount < 0 else minor)

    def in_yuan(self) -> Decimal:
        return Decimal(self.fen).scaleb(-2, context=decimals.EXACT)

    def __add__(self, other: Money) -> Money:
        return Money(self.fen + other.fen)

    def __sub__(self, other: Money) -> Money:
        return Money(self.fen - other.fen)

    def __neg__(self) -> Money:
        return Money(-self.fen)

    def __str__(self) -> str:
        return f"{self.in_yuan():.2f}"


ZERO = Money(0)


def typed(value: object, name: str) -> Money:
    """The value, if it is Money; name is what it is called in the error. Raises TypeError for anything else."""
    if type(value) is not Money:
        raise TypeError(f"{name} is Money, not the {type(value).__name__} {value!r}")
    return value
