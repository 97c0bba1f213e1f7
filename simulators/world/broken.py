"""What a seed ends with, if it does not hold."""

from __future__ import annotations


class Broken(Exception):
    """An invariant does not hold; name says which."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name = name
        self.text = text

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"
