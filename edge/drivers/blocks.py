"""Several items of a DL/T 645 meter, of either edition, by one request where the meter gives them so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from protocols.dlt645.fields import BadValue, Value
from protocols.dlt645.frame import Frame
from protocols.dlt645.master import NOT_THERE
from protocols.exchange import Exchange, Refused

NO_SUCH_DATA = 0x02
"""The bit of the error word, of both editions. By the bit beside it, any other error, meters refuse blocks too, but
a single item may be there again the next time."""

Get = Callable[[int], Exchange[Frame, list[Value]]]
"""Reads one identifier, a block too, and decodes it."""


def read_block(
    get: Get, block: int, refused: set[int], *, least: int
) -> Exchange[Frame, list[Decimal | None] | None]:
    """The numbers of a block in its order, None for one that the meter fills with FF.

    None where the meter refuses the block, now or before, or gives less than the least number of values: the block
    is put into refused then, and its items are to be asked one by one.
    """
    if block in refused:
        return None
    try:
        values = yield from get(block)
    except (Refused, BadValue) as error:
        if not _is_not_there(error):
            raise
        values = []
    if len(values) < least:
        refused.add(block)
        return None
    return [_number(value) for value in values]


def read_item(get: Get, item: int, refused: set[int]) -> Exchange[Frame, Decimal | None]:
    """The number under an identifier; None where the meter has none. What it says it has not is put into refused."""
    if item in refused:
        return None
    try:
        (value,) = yield from get(item)
    except Refused as error:
        if not _is_not_there(error):
            raise
        if error.code & NO_SUCH_DATA:
            refused.add(item)
        return None
    return _number(value)


def read_energies(
    get: Get, block: int, rates: Iterable[tuple[str, int]], refused: set[int]
) -> Exchange[Frame, tuple[Decimal | None, dict[str, Decimal]]]:
    """The total and the registers of the rates by the names of their bands; rates are the names and identifiers in
    the order of the block, which begins with the total. The total is None where the block was refused.

    Rates are numbered without a gap: after one that the meter has not, none is asked.
    """
    named = list(rates)
    values = yield from read_block(get, block, refused, least=2)
    if values is not None:
        bands = zip((name for name, _ in named), values[1:], strict=False)
        return values[0], {name: value for name, value in bands if value is not None}
    found: dict[str, Decimal] = {}
    for name, item in named:
        value = yield from read_item(get, item, refused)
        if value is None:
            break
        found[name] = value
    return None, found


def _is_not_there(error: Refused | BadValue) -> bool:
    """Whether the meter says by it that it has no such data, as an answer too short or too long for a block does."""
    if isinstance(error, BadValue):
        return error.kind == "length"
    return error.code & ~NOT_THERE == 0


def _number(value: Value) -> Decimal | None:
    return value.value if isinstance(value.value, Decimal) else None
