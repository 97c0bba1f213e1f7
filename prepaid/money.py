"""Money 金额, and the one place where it is rounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal


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

        Raises ValueError if the text is not such an amount.
        """
        try:
            fen = Decimal(text).scaleb(2)
        except ArithmeticError:
            raise ValueError(f"not an amount in yuan: {text!r}") from None
        if not fen.is_finite() or fen != fen.to_integral_value():
            raise ValueError(f"not an amount in yuan with at most two decimals: {text!r}")
        return cls(int(fen))

    @classmethod
    def rounded(cls, yuan: Decimal) -> Money:
        """The exact amount in yuan, rounded half-up to the fen. Nothing else in Wattwell rounds money."""
        return cls(int(yuan.scaleb(2).quantize(Decimal(1), ROUND_HALF_UP)))

    def in_yuan(self) -> Decimal:
        return Decimal(self.fen).scaleb(-2)

    def __add__(self, other: Money) -> Money:
        return Money(self.fen + other.fen)

    def __sub__(self, other: Money) -> Money:
        return Money(self.fen - other.fen)

    def __neg__(self) -> Money:
        return Money(-self.fen)

    def __str__(self) -> str:
        return f"{self.in_yuan():.2f}"


ZERO = Money(0)
