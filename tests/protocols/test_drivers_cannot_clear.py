"""No driver of the gateway can clear a meter: not its demand (19H), not the meter (1AH), not its
events (1BH), nor the demand in the edition of 1997 (10H)."""

from __future__ import annotations

import ast
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import edge
from edge.drivers import DRIVERS, BadMeter
from prepaid.point import Restore
from prepaid.reading import Supply
from protocols.cj188 import frame as cj188
from protocols.dlt645 import frame as dlt645
from protocols.exchange import ProtocolError
from tests.edge.simulated import ELECTRICITY, WATER

CLEARING = {0x10, 0x19, 0x1A, 0x1B}
NAMES = {"reset_demand", "clear_meter", "clear_events"} | {
    *("RESET_DEMAND", "CLEAR_METER", "CLEAR_EVENTS", "slave", "explain", "seal"),
}
# With these a module could make any frame it likes.
MAKERS = {"ask", "Frame", "encode"}
# A person who sends frames by hand is asked whether they are meant (edge.field.console).
BY_HAND = ("edge.technician", "edge.field", "edge.page")
EDGE = Path(edge.__file__).parent
SOURCES = sorted(
    source for source in EDGE.rglob("*.py") if not f"edge.{source.parent.name}".startswith(BY_HAND)
)


def used_of_dlt645(source: Path) -> set[str]:
    """Every name of `protocols.dlt645` that a module imports, or reaches through one it imports."""
    tree = ast.parse(source.read_text())
    modules: set[str] = set()
    used: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if "dlt645" in module and (
                module.startswith("protocols")
            ):
                assert all(name.name != "*" for name in names), source
                used |= {name.name for name in names}
                modules |= {name.asname or name.name for name in names}
            case ast.Import(names=names):
                assert not any(name.name.startswith("protocols.dlt645") for name in names), source
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in modules:
                used.add(attribute)
            case ast.Call(func=ast.Name(id="getattr"), args=[ast.Name(id=name), *_]) if (
                name in modules
            ):
                used.add("anything")
            case ast.Name(id="import_module" | "__import__" | "eval" | "exec"):
                used.add("anything")
    return used


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_module_of_the_gateway_names_what_clears_a_meter(source):
    assert not used_of_dlt645(source) & (NAMES | {"anything"})


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_no_module_of_the_gateway_makes_a_frame_itself(source):
    """A driver takes `Frame` for its types alone: nothing calls it."""
    calls = {
        node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)
    }
    if used_of_dlt645(source):
        assert not calls & MAKERS


@pytest.mark.parametrize(
    "source",
    [*sorted(EDGE.glob("drivers/*.py")), EDGE / "agent.py"],
    ids=lambda source: source.name,
)
def test_who_works_by_himself_knows_nothing_of_what_is_done_by_hand(source):
    imported = {
        node.module
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }
    assert not [name for name in imported if name.startswith(BY_HAND)]


def test_the_walk_sees_what_it_looks_for(tmp_path):
    guilty = tmp_path / "guilty.py"
    guilty.write_text(
        "from protocols.dlt645 import master as m\n\n\ndef tidy():\n    return m.clear_meter\n"
    )
    assert "clear_meter" in used_of_dlt645(guilty)


METERS = {"dlt645": (ELECTRICITY.meter, dlt645), "cjt188": (WATER.meter, cj188)}
NOW = datetime(2026, 6, 15, 10, 30, tzinfo=UTC)


def exchanges(driver: ModuleType, meter: Any) -> list[Any]:
    """All that a driver can be asked: any public function that takes a meter, with every command."""
    made = [driver.read(meter), driver.read(meter, with_bands=True), driver.measure(meter)]
    made += [driver.state(meter), driver.current(meter)]
    for supply in Supply:
        made += [driver.switch(meter, supply, restore, NOW) for restore in Restore]
    return made


def replies(codec: ModuleType, request: Any) -> list[Any]:
    """What a meter may say to it: nothing of use, any data, a refusal."""
    answered = []
    for control in (request.control | 0x80, request.control | 0xA0, request.control | 0xC0):
        for data in (request.data, request.data + bytes(2), request.data + bytes(4), b"\x02", b""):
            head = (request.type,) if codec is cj188 else ()
            answered.append(codec.Frame(*head, request.address, control, data))
    return answered


def spoken(codec: ModuleType, start: Any, path: tuple[int, ...] = ()) -> list[int]:
    """The control codes of every request, whichever way the meter answers the first two."""
    exchange = start()
    try:
        request = codec.decode(next(exchange))
        for choice in path:
            request = codec.decode(exchange.send(replies(codec, request)[choice]))
    except (StopIteration, ProtocolError, BadMeter, ValueError):
        return []
    codes = [request.control]
    if len(path) < 2:
        for choice in range(len(replies(codec, request))):
            codes += spoken(codec, start, (*path, choice))
    return codes


# A protocol without such a function, as Modbus, has nothing to send.
PROTOCOLS = {name: METERS[key] for name in DRIVERS for key in METERS if name.startswith(key)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_exchange_of_a_driver_ever_sends_what_clears_a_meter(protocol):
    driver = DRIVERS[protocol]
    meter, codec = PROTOCOLS[protocol]

    said: set[int] = set()
    for at in range(len(exchanges(driver, meter))):
        said |= set(spoken(codec, lambda at=at: exchanges(driver, meter)[at]))

    assert said
    if codec is dlt645:
        assert said <= ({0x01, 0x02} if protocol == "dlt645-1997" else {0x11, 0x12, 0x1C})
    assert not said & CLEARING
