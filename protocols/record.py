"""Frozen records that are made for every frame and every value."""

from collections.abc import Callable
from typing import Any


def setters(record: type) -> tuple[Callable[[Any, Any], None], ...]:
    """What writes each slot of a frozen dataclass with slots, in the order of its fields.

    For use in its own `__init__` alone. The one that `dataclass` writes for a frozen class goes
    through `object.__setattr__` by name and takes longer than the checks of a whole frame.
    """
    slots: tuple[str, ...] = record.__dict__["__slots__"]
    return tuple(record.__dict__[name].__set__ for name in slots)
