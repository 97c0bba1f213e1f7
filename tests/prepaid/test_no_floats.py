"""No float can enter the rules: neither by a type, nor by what is written in them, nor as a value."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import prepaid
from prepaid.brake import Brake
from prepaid.common_use import Invoice, MeterUse
from prepaid.cycle import Cycle, Every
from prepaid.ledger import Book, Reason, Transfer
from prepaid.momentary import Measurand, Momentary
from prepaid.money import ZERO, Money
from prepaid.offline_code import Credit
from prepaid.point import EmergencyCredit, Opening, Policy
from prepaid.reading import Reading
from prepaid.resolution import Estimated, Exchanged, Restarted
from prepaid.sharing import Member, Standing
from prepaid.tariff import Fixed, Rate, Season, Tiers
from prepaid.wire.downlog import Credited, read_down, write_down
from prepaid.wire.message import BadMessage
from prepaid.wire.uplog import CodeEntered, Read, Withdrawn, read_up, write_up
from tests.prepaid.situations import OPEN
from tests.prepaid.test_allocation import AGREEMENT
from tests.prepaid.values import METER

FOLDER = Path(prepaid.__file__).parent
MODULES = sorted(
    module.name.removeprefix("prepaid.")
    for module in pkgutil.walk_packages([str(FOLDER)], "prepaid.")
)

ALLOWED: dict[tuple[str, str], str] = {}
"""Where a float is made all the same, and what is done with it."""

DIVISIONS = {
    ("deadline.py", "overdraft_bound"): "Fraction",
    ("point.py", "Thresholds.__post_init__"): "timedelta / int",
    ("usual.py", "Usual.moved_on"): "timedelta / int",
    ("common_use.py", "Invoice.price"): "Fraction",
    ("sharing.py", "share_with_loss"): "Fraction",
    ("sharing.py", "_sheet"): "Fraction",
}
"""Where / stands, and between what: of two ints it would be a float."""

MAKERS = {"total_seconds", "timestamp", "from_float", "perf_counter", "monotonic", "sqrt"}
NUMPY_MAKERS = {"divide", "true_divide", "mean", "average", "std", "var", "linspace", "interp"}


def test_the_rules_are_found():
    assert {"money", "ledger", "sharing", "rating", "tariff"} <= set(MODULES)


# By type.


def mentions_float(hint: Any) -> bool:
    if hint in (float, complex):
        return True
    return any(mentions_float(part) for part in typing.get_args(hint))


def functions(module: types.ModuleType) -> Iterator[tuple[str, Any]]:
    """Every function, method and property that the module itself defines, by its name."""
    for name, thing in vars(module).items():
        if getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing):
            yield name, thing
        elif inspect.isclass(thing):
            for inner, member in vars(thing).items():
                if isinstance(member, property):
                    member = member.fget
                elif isinstance(member, (classmethod, staticmethod)):
                    member = member.__func__
                if inspect.isfunction(member):
                    yield f"{name}.{inner}", member


def classes(module: types.ModuleType) -> list[type]:
    return [
        thing
        for thing in vars(module).values()
        if inspect.isclass(thing) and thing.__module__ == module.__name__
    ]


@pytest.mark.parametrize("name", MODULES)
def test_no_function_takes_or_gives_a_float_and_no_value_holds_one(name: str):
    module = importlib.import_module(f"prepaid.{name}")
    found = [
        f"{function}: {argument}"
        for function, thing in functions(module)
        for argument, hint in typing.get_type_hints(thing, vars(module)).items()
        if mentions_float(hint)
    ]
    found += [
        f"{cls.__name__}.{field}"
        for cls in classes(module)
        for field, hint in typing.get_type_hints(cls).items()
        if mentions_float(hint)
    ]
    found += [
        variable
        for variable, hint in getattr(module, "__annotations__", {}).items()
        if "float" in str(hint)
    ]
    assert found == []


def test_a_float_is_seen_wherever_it_hides_in_a_type():
    assert mentions_float(float | None)
    assert mentions_float(dict[str, tuple[list[float], ...]])
    assert mentions_float(typing.Annotated[float, "yuan"])
    assert not mentions_float(dict[str, int])


# By what is written.


class Floats(ast.NodeVisitor):
    """Where a file writes, names or makes a float, and where it divides: (function, what)."""

    def __init__(self) -> None:
        self.path: list[str] = []
        self.floats: list[tuple[str, str]] = []
        self.divisions: list[str] = []

    def _enter(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        self.path.append(node.name)
        self.generic_visit(node)
        self.path.pop()

    visit_FunctionDef = visit_ClassDef = _enter

    @property
    def here(self) -> str:
        return ".".join(self.path)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, (float, complex)):
            self.floats.append((self.here, ast.unparse(node)))

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in ("float", "complex", "round"):
            self.floats.append((self.here, node.id))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        of_numpy = isinstance(node.value, ast.Name) and node.value.id == "np"
        if (
            node.attr in MAKERS
            or (of_numpy and node.attr in NUMPY_MAKERS)
            or (of_numpy and "float" in node.attr)
        ):
            self.floats.append((self.here, ast.unparse(node)))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.Div):
            self.divisions.append(self.here)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.op, ast.Div):
            self.divisions.append(self.here)
        self.generic_visit(node)


def scan(source: str) -> Floats:
    found = Floats()
    found.visit(ast.parse(source))
    return found


def scanned() -> Iterator[tuple[str, Floats]]:
    for path in sorted(FOLDER.rglob("*.py")):
        yield path.relative_to(FOLDER).as_posix(), scan(path.read_text(encoding="utf-8"))


def test_nothing_in_the_rules_writes_or_makes_a_float():
    found = [
        f"{file}: {where}: {what}"
        for file, floats in scanned()
        for where, what in floats.floats
        if (file, where) not in ALLOWED
    ]
    assert found == []


def test_no_exception_outlives_its_need():
    found = {(file, where) for file, floats in scanned() for where, _ in floats.floats}
    assert set(ALLOWED) - found == set()


def test_what_is_divided_is_no_pair_of_whole_numbers():
    found = {(file, where) for file, floats in scanned() for where in floats.divisions}
    assert found - set(DIVISIONS) == set(), "use // or Fraction, or say here what is divided"
    assert set(DIVISIONS) - found == set(), "no longer divided there"


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    return 0.5",
        "x: float = 1",
        "y = float('1')",
        "z = elapsed.total_seconds()",
        "a = np.float64(1)",
        "b = np.mean(c)",
        "d = round(e)",
        "f = 1e3",
        "g = Decimal.from_float(h)",
    ],
)
def test_the_scan_sees_a_float(source: str):
    assert scan(source).floats


def test_the_scan_sees_a_division_and_where_it_stands():
    found = scan(
        "class A:\n    def b(self):\n        c = d / e\n        c /= 2\n        return c // 2"
    )
    assert found.divisions == ["A.b", "A.b"]
    assert found.floats == []


# By value.

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
READING = Reading("201709320072", NOW, Decimal("1523.40"), None)
MONTHLY = Cycle(Every.MONTH)
DAYS_30 = timedelta(days=30)

# What comes from outside, and for each field that a float must not get into a float, or what holds one.
CASES: list[tuple[Any, str, Any]] = [
    (READING, "total", 1523.4),
    (READING, "bands", {"peak": 1.5}),
    (Momentary("1", NOW, {}), "values", {Measurand.POWER: 1.5}),
    (METER, "digits", 6.0),
    (METER, "step", 0.01),
    (METER, "max_per_hour", 13.2),
    (METER, "multiplier", 40.0),
    (METER.thresholds, "always_usual", 200.0),
    (METER.thresholds, "times_usual", 2.0),
    (METER.thresholds, "stuck_steps", 10.0),
    (METER.thresholds, "stuck_times", 2.0),
    (Policy(), "alarm_at", 10.0),
    (Policy(), "final_alarm_at", 3.0),
    (Policy(), "cut_at", 0.0),
    (Policy(), "overdraft", 0.0),
    (Policy(), "max_cut_current_a", 30.0),
    (Policy(), "leak_per_hour", 1.0),
    (EmergencyCredit(Money(1), offered_at=ZERO), "amount", 10.0),
    (EmergencyCredit(Money(1), offered_at=ZERO), "offered_at", 0.0),
    (Brake(points=1), "share", 0.05),
    (OPEN, "available", 20.0),
    (OPEN, "current_a", 1.5),
    (Exchanged(READING, READING, 0, Decimal(0), estimate_stands=False), "between", 1.5),
    (Exchanged(READING, READING, 0, Decimal(0), estimate_stands=False), "counted_from", 1.5),
    (Restarted(Decimal(1), Decimal(0), NOW), "closing", 1.5),
    (Restarted(Decimal(1), Decimal(0), NOW), "opening", 0.0),
    (Estimated(Decimal(1)), "moved", 1.5),
    (Transfer(Book("a"), Book("b"), Money(1), Reason.TOP_UP, "1", NOW), "amount", 1.0),
    (AGREEMENT, "amount", 1.0),
    (AGREEMENT, "part", 0.5),
    (AGREEMENT, "week_cap", 1.0),
    (Member("101", "Wang", Standing.OCCUPIED, Decimal(1), 30), "weight", 50.0),
    (Member("101", "Wang", Standing.OCCUPIED, Decimal(1), 30), "days", 30.0),
    (MeterUse("main", Decimal(1), NOW, NOW + DAYS_30), "used", 1000.0),
    (Invoice(Money(1), Decimal(1), Decimal(0)), "before_tax", 1.0),
    (Invoice(Money(1), Decimal(1), Decimal(0)), "quantity", 1.0),
    (Invoice(Money(1), Decimal(1), Decimal(0)), "tax", 0.13),
    (Season(frozenset({7}), (Decimal(1),)), "bounds", (1.5,)),
    (Tiers(MONTHLY, (Decimal(1),)), "bounds", (1.5,)),
    (Tiers(MONTHLY, (Decimal(1),)), "per_extra_person", (1.5,)),
    (Rate("energy", Decimal(1), None, ({"all": Decimal(1)},)), "share", 0.5),
    (Rate("energy", Decimal(1), None, ({"all": Decimal(1)},)), "prices", ({"all": 0.56},)),
    (Fixed("service", Decimal(5), MONTHLY), "amount", 5.0),
    (Credit(1, Money(1)), "amount", 1.0),
    (CodeEntered(UUID(int=1), 1, Money(1), NOW), "amount", 1.0),
    (Opening(Decimal(1), NOW), "total", 1.0),
    (
        Withdrawn(
            UUID(int=1),
            Transfer(Book("a"), Book("b"), Money(1), Reason.TOP_UP, "1", NOW),
            None,
            Money(1),
            NOW,
        ),
        "left",
        1.0,
    ),
]

FOLLOWS = {
    # What only ever follows from the values above: computed here, and read back from its own store.
    "allocation": {"Line", "Allocation"},
    "bill": {"Line", "Bill"},
    "deadline": {"Drain"},
    "leak": {"Leak"},
    "ledger": {"StatementLine", "Statement"},
    "rating": {
        "Running",
        "Charge",
        "PricedPart",
        "PricedSlice",
        "PricedFee",
        "Posting",
        "Explanation",
    },
    "reckoning": {"Counted", "Metered"},
    "rerating": {"Read"},
    "register.assessment": {"Assessment"},
    "register.evidence": {"Evidence"},
    "register.history": {"Ahead"},
    "resolution": {"Resolved"},
    "sharing": {"Line", "Sheet"},
    "usual": {"Stretch"},
    "wire.downlog": {"Carried"},
}


def mentioned(hint: Any) -> set[str]:
    parts = {getattr(hint, "__name__", "")}
    for part in typing.get_args(hint):
        parts |= mentioned(part)
    return parts


def holds_numbers(cls: type) -> bool:
    return dataclasses.is_dataclass(cls) and any(
        {"Decimal", "Money"} & mentioned(hint) for hint in typing.get_type_hints(cls).values()
    )


@pytest.mark.parametrize(
    ("value", "field", "bad"), CASES, ids=[f"{type(v).__name__}.{f}" for v, f, _ in CASES]
)
def test_a_float_is_refused_where_a_value_is_made(value: Any, field: str, bad: Any):
    assert dataclasses.replace(value) == value
    with pytest.raises(TypeError):
        dataclasses.replace(value, **{field: bad})


def test_every_value_that_holds_a_number_is_known_here():
    tried = {type(value) for value, _, _ in CASES}
    unknown = [
        f"{name}.{cls.__name__}"
        for name in MODULES
        for cls in classes(importlib.import_module(f"prepaid.{name}"))
        if holds_numbers(cls) and cls not in tried and cls.__name__ not in FOLLOWS.get(name, set())
    ]
    assert unknown == [], "add them to ENTERS if they come from outside, else to FOLLOWS"


@pytest.mark.parametrize(
    "number", ["1523.4", "1e3", "15234E-1", "-0.5", "1523.40000000000000001", "NaN"]
)
def test_a_number_with_a_point_is_refused_on_the_wire(number: str):
    # JSON's numbers are floats to many who read them; quantities are sent as texts
    message = write_up(Read(UUID(int=1), READING))
    assert read_up(message) == Read(UUID(int=1), READING)
    with pytest.raises(BadMessage, match=r"text|finite"):
        read_up(message.replace('"1523.40"', number))


def test_an_amount_of_money_is_no_float_on_the_wire():
    transfer = Transfer(Book("a"), Book("b"), Money(5000), Reason.TOP_UP, "at 1.5, 2.5", NOW)
    message = write_down(Credited(transfer))
    assert read_down(message) == Credited(transfer)
    for number in ("5000.0", "5e3"):
        with pytest.raises(BadMessage, match="text"):
            read_down(message.replace("5000", number))
