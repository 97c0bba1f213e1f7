"""What meters say, read one by one, and as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from edge.technician.meters import Meter, Shown
from protocols.exchange import Refused
from wattwell.technician.line import Live


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that the meter does not give."""

    item: str
    error: Refused


async def read_all(live: Live, meter: Meter, names: Sequence[str]) -> list[Shown | Refusal]:
    """The values in order; an item that is refused does not keep the others back."""
    rows: list[Shown | Refusal] = []
    for name in names:
        try:
            rows += await live.ask(meter, lambda name=name: meter.read(name))  # type: ignore[misc]
        except Refused as error:
            rows.append(Refusal(name, error))
    return rows


def as_object(row: Shown | Refusal) -> dict[str, object]:
    match row:
        case Refusal(item, error):
            return {"item": item, "refused": list(error.reasons), "code": f"{error.code:02X}"}
        case Shown(item, name, zh, value, unit):
            text = f"{value:f}" if isinstance(value, Decimal) else value
            return {"item": item, "name": name, "chinese": zh, "value": text, "unit": unit}


def table_of(*headings: str) -> Table:
    table = Table(box=SIMPLE_HEAD, border_style="dim", header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    return table


def values_table(rows: Sequence[Shown | Refusal]) -> Table:
    """Item, name in both languages, value and unit."""
    table = table_of("Item 标识", "Name 名称", "Value 值", "Unit 单位")
    table.columns[2].justify = "right"
    for row in rows:
        match row:
            case Refusal(item, error):
                said = ", ".join(error.reasons) or f"code {error.code:02X}"
                table.add_row(item, "", Text(f"refused: {said}", style="yellow"), "")
            case Shown(item, name, zh, value, unit):
                text = f"{value:f}" if isinstance(value, Decimal) else value
                shown = Text("– none 无", style="dim") if text is None else Text(text)
                table.add_row(item, f"{name} {zh}".rstrip(), shown, unit)
    return table
