"""What `wattwell edge status` draws."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.ledger.onlooker import PointThere, Standing

MOST_NAMED = 20


def needs_somebody(now: dict[str, Any]) -> bool:
    """Whether the gateway itself needs a person. What single meters want is shown, and told to the office."""
    return bool(
        now["hold"]
        or now["troubles"]
        or not now["is_clock_trusted"]
        or any(line["is_stuck"] for line in now["lines"])
    )


def draw(now: dict[str, Any], points: list[dict[str, Any]], console: Console | None = None) -> None:
    """A gateway that runs, as its socket tells it; in 80 columns a usual line takes one row."""
    console = console or Console()
    counts = now["counts"]
    _row(console, "gateway 网关", now["gateway_no"])
    if now["hold"]:
        _row(
            console, "held 停用待核", f"{now['hold']}: nothing is read, charged or switched", "red"
        )
    _row(
        console,
        "clock 时钟",
        f"{now['at'][:19]}Z, {'trusted' if now['is_clock_trusted'] else 'in doubt'}",
        "" if now["is_clock_trusted"] else "red",
    )
    backlog = now["last_seq"] - now["acked"]
    link = "connected" if now["is_link_up"] else "away"
    if now["is_link_refused"]:
        link = "refuses us: revoked, or replaced"
    _row(
        console,
        "cloud 云端",
        f"{link}, {backlog} of {now['last_seq']} entries wait",
        "" if now["is_link_up"] else "yellow",
    )
    _row(console, "ledger 账本", f"{now['ledger_bytes'] / 1024 / 1024:.1f} MB")
    said = (
        f"{counts['points']}; {counts['silent']} silent, {counts['wrong']} entered wrongly, "
        f"{counts['held']} in doubt, {counts['off']} off"
    )
    is_well = not (counts["silent"] or counts["wrong"] or counts["held"])
    _row(console, "points 用能点", said, "" if is_well else "yellow")
    for trouble, since in now["troubles"].items():
        _row(console, "trouble 告警", f"{trouble} since {since[:19]}Z", "red")
    if now["rejected"]:
        _row(console, "rejected", f"{now['rejected']} entries of the cloud", "yellow")
    console.print()
    console.print(_lines(now["lines"]))
    named = [(point["name"], _alarms(point)) for point in points if _alarms(point)]
    _draw_named(console, named)


def _lines(lines: list[dict[str, Any]]) -> Table:
    table = _table(
        "line",
        "at",
        "points",
        "silent",
        "used",
        "answers",
        "late",
        "bound",
        folded="at",
    )
    for line in lines:
        metrics, bound = line["metrics"], line["bound"]
        used = metrics["useful_s"] / metrics["since_s"] if metrics["since_s"] else 0
        fen = bound["most"]["fen"]
        table.add_row(
            Text(line["name"], style="red" if line["is_stuck"] else ""),
            line["place"].replace(" · ", " "),
            str(line["points"]),
            Text(str(line["silent"]), style="yellow" if line["silent"] else ""),
            f"{used:.0%}",
            f"{metrics['answers'] / metrics['requests']:.1%}" if metrics["requests"] else "–",
            str(metrics["missed"]),
            f"{bound['delay_s']:.0f} s, ¥{fen // 100}.{fen % 100:02}" if bound["delay_s"] else "–",
        )
    return table


def _alarms(point: dict[str, Any]) -> list[str]:
    return [kind for kind in point["alarms"] if kind != "low-balance"]


def draw_standing(standing: Standing) -> None:
    """A gateway that does not run, as its ledger has it."""
    console = Console()
    _row(console, "gateway 网关", f"{standing.gateway_no}: not running", "yellow")
    if standing.hold:
        _row(console, "held 停用待核", standing.hold, "red")
    progress = standing.progress
    waits = progress.last_seq - progress.acked
    _row(console, "cloud 云端", f"{waits} of {progress.last_seq} entries wait")
    silent = sum("silent" in there.alarms for there in standing.points)
    _row(console, "points 用能点", f"{len(standing.points)}; {silent} silent")
    for trouble in sorted(standing.troubles):
        _row(console, "trouble 告警", trouble, "red")
    named = [
        (there.point.name, sorted(there.alarms - {"low-balance"}))
        for there in standing.points
        if there.alarms - {"low-balance"}
    ]
    _draw_named(console, named)


def standing_object(standing: Standing) -> dict[str, Any]:
    """The same for programs."""
    return {
        "gateway_no": standing.gateway_no,
        "is_running": False,
        "hold": standing.hold,
        "last_seq": standing.progress.last_seq,
        "acked": standing.progress.acked,
        "cloud_seq": standing.progress.cloud_seq,
        "rejected": standing.rejected,
        "troubles": sorted(standing.troubles),
        "points": [_there(there) for there in standing.points],
    }


def _there(there: PointThere) -> dict[str, Any]:
    return {
        "name": there.point.name,
        "meter_no": there.point.meter.meter_no,
        "line": there.point.meter.line,
        "total": there.total,
        "read_at": there.read_at.isoformat() if there.read_at else None,
        "supply": there.supply,
        "alarms": sorted(there.alarms),
    }


def _draw_named(console: Console, named: list[tuple[str, list[str]]]) -> None:
    if not named:
        return
    table = _table("service point 用能点", "alarms 告警")
    for name, alarms in named[:MOST_NAMED]:
        table.add_row(name, Text(", ".join(alarms), style="yellow"))
    console.print()
    console.print(table)
    if len(named) > MOST_NAMED:
        console.print(f"and {len(named) - MOST_NAMED} more", style="dim")


def _table(*headings: str, folded: str | None = None) -> Table:
    """Where the terminal is narrow, one column is folded and the others are not; all are if none is named."""
    table = Table(
        box=SIMPLE_HEAD,
        border_style="dim",
        header_style="bold",
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=folded not in (None, heading))
    return table


def _row(console: Console, name: str, said: str, style: str = "") -> None:
    console.print(
        Text.assemble((f"{name:<14}", "dim"), (said, style)), highlight=False, soft_wrap=True
    )
