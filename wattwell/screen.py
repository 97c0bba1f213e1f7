"""The terminal of `wattwell demo`: rooms, where to look, the story so far. Plain lines if it is no terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cloud.services.board import PointCard, RoomCard
from prepaid.money import Money
from prepaid.reading import Supply
from prepaid.supply import Why
from simulators.estate import TIMEZONE

FULL_BAR = Money.yuan("100")
BAR_CELLS = 12
WIDE = 100  # columns from which bars and registers are drawn, too


class Screen:
    """As a context manager it draws itself anew at each `show`; `tell` adds a line to the story."""

    def __init__(self) -> None:
        self.console = Console()
        self._live = Live(console=self.console, auto_refresh=False, screen=False)
        self._lines: list[tuple[datetime, str]] = []
        self._rooms: list[RoomCard] = []
        self._places: list[tuple[str, str]] = []

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def tell(self, line: str) -> None:
        """One more line of the story."""
        self._lines.append((datetime.now(UTC), line))
        if self._live.is_started:
            self._draw()
        else:
            self.console.print(
                f"{_clock(self._lines[-1][0])}  {line}", markup=False, highlight=False
            )

    def point_to(self, name: str, where: str) -> None:
        """One more address or password to show below the story."""
        self._places = [place for place in self._places if place[0] != name] + [(name, where)]
        if not self._live.is_started:
            self.console.print(f"{name}: {where}", markup=False, highlight=False, soft_wrap=True)

    def show(self, rooms: Iterable[RoomCard]) -> None:
        """The rooms as they are now."""
        self._rooms = list(rooms)
        if self._live.is_started:
            self._draw()

    def _draw(self) -> None:
        self._live.update(self.frame(), refresh=True)

    def frame(self) -> RenderableType:
        """What is drawn now: rooms, addresses, and as much of the story as there is room for."""
        parts: list[RenderableType] = []
        if self._rooms:
            parts.append(_table(self._rooms, wide=self.console.width >= WIDE))
        for name, where in self._places:
            # Unwrapped and in no frame, so that an address can be clicked or copied whole.
            parts.append(Text.assemble((f"{name:<14}", "bold"), where, overflow="fold"))
        used = sum(len(self.console.render_lines(part)) for part in parts)
        room = max(2, self.console.height - used - 2)
        story = Text(no_wrap=True, overflow="ellipsis")
        for at, line in self._lines[-room:]:
            story.append(f"{_clock(at)}  ", style="dim").append(f"{line}\n")
        story.append(
            f"{TIMEZONE} time · Ctrl-C ends all; the next start goes on from here", style="dim"
        )
        return Group(*parts, Text(), story)


def _table(rooms: list[RoomCard], *, wide: bool) -> Table:
    table = Table(
        expand=True, box=box.SIMPLE_HEAD, show_edge=False, header_style="bold", pad_edge=False
    )
    table.add_column("Room", no_wrap=True, min_width=4)
    table.add_column("Holder", no_wrap=True, min_width=6)
    table.add_column("Electricity ¥" if wide else "Elec. ¥", no_wrap=True, justify="right")
    if wide:
        table.add_column("", no_wrap=True, min_width=BAR_CELLS)
        table.add_column("kWh", no_wrap=True, justify="right")
    table.add_column("Supply", no_wrap=True, min_width=20)
    table.add_column("Water ¥", no_wrap=True, justify="right")
    table.add_column("Supply", no_wrap=True)
    for room in rooms:
        power, water = _of(room, "electricity"), _of(room, "cold_water")
        total = "" if power is None or power.total is None else f"{power.total:.2f}"
        table.add_row(
            room.name,
            room.holder or "",
            _balance(power),
            *((_bar(power), total) if wide else ()),
            _supply(power),
            _balance(water),
            _supply(water),
        )
    return table


def _of(room: RoomCard, commodity: str) -> PointCard | None:
    return next((point for point in room.points if point.commodity == commodity), None)


def _balance(point: PointCard | None) -> Text:
    if point is None:
        return Text("")
    style = "red" if point.balance.fen <= 0 else "yellow" if point.balance < point.alarm_at else ""
    return Text(str(point.balance), style=style)


def _bar(point: PointCard | None) -> Text:
    if point is None:
        return Text("")
    part = min(max(point.balance.fen, 0), FULL_BAR.fen)
    cells = -(-part * BAR_CELLS // FULL_BAR.fen)  # rounded up: a fen left is still a cell
    low = point.balance < point.alarm_at
    return Text("█" * cells, style="yellow" if low else "green").append(
        "░" * (BAR_CELLS - cells), style="dim"
    )


def _supply(point: PointCard | None) -> Text:
    if point is None:
        return Text("")
    if point.read_at is None:
        return Text("… not read yet", style="dim")
    if point.is_silent:
        return Text("? silent", style="magenta")
    match point.supply:
        case Supply.ON if point.wanted is Supply.OFF:
            return Text("↓ cutting", style="red")
        case Supply.ON if point.why is Why.EMERGENCY:
            return Text("● on emergency credit", style="yellow")
        case Supply.ON:
            return Text("● on", style="green")
        case Supply.OFF if point.wanted is Supply.ON or point.balance.fen > 0:
            return Text("↑ credit on its way", style="yellow")
        case Supply.OFF:
            return Text("○ off: no credit", style="red")
        case Supply.ARMED:
            return Text("◐ press the button", style="yellow")
        case None:
            return Text("–", style="dim")


def _clock(at: datetime) -> str:
    """The site's time, as the pages show it."""
    return at.astimezone(ZoneInfo(TIMEZONE)).strftime("%H:%M:%S")
