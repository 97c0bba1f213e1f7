"""A record is made as its dataclass would be, and as frozen."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace

import pytest

from prepaid.record import record


@record
@dataclass(frozen=True, slots=True)
class Meal:
    dish: str
    price: int = 5
    sides: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.price < 0:
            raise ValueError(f"{self.dish} costs {self.price}")


def test_arguments_and_defaults_are_those_of_the_dataclass():
    assert asdict(Meal("rice")) == {"dish": "rice", "price": 5, "sides": []}
    assert Meal("rice", 7, ["tofu"]) == Meal(sides=["tofu"], price=7, dish="rice")
    assert replace(Meal("rice"), price=6).price == 6
    assert Meal("rice").sides is not Meal("rice").sides
    with pytest.raises(TypeError, match="dish"):
        Meal()  # type: ignore[call-arg]


def test_it_is_checked_and_never_changed():
    with pytest.raises(ValueError, match="rice costs -1"):
        Meal("rice", -1)
    with pytest.raises(FrozenInstanceError):
        Meal("rice").price = 1  # type: ignore[misc]


def test_arguments_that_are_said_by_name_are_so_still():
    @record
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        dish: str

    assert Named(dish="rice").dish == "rice"
    with pytest.raises(TypeError, match="positional"):
        Named("rice")  # type: ignore[misc]


def test_a_field_that_is_no_argument_is_refused():
    with pytest.raises(TypeError, match="Reckoned has a field that is no argument"):

        @record
        @dataclass(frozen=True, slots=True)
        class Reckoned:
            total: int = field(init=False, default=0)
