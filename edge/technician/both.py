"""A text of a technician's tool in English and Chinese: shown one beside the other, or alone where one is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile


@dataclass(frozen=True, slots=True)
class Both:
    """What is said, in each language. + puts another behind it, or a text that is the same in both."""

    english: str
    chinese: str

    def __str__(self) -> str:
        """One beside the other; what both begin with, as a number or an address, once."""
        pairs = zip(self.english, self.chinese, strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        return f"{self.english} {self.chinese[same:].lstrip(' ，：')}".rstrip()

    def __add__(self, other: Both | str) -> Both:
        after = plain(other) if isinstance(other, str) else other
        return Both(self.english + after.english, self.chinese + after.chinese)

    def in_(self, language: str) -> str:
        """Chinese for "zh", else English."""
        return self.chinese if language == "zh" else self.english


def plain(text: str) -> Both:
    """What is the same in both: digits, hexadecimal, units."""
    return Both(text, text)


def beside(english: str, table: dict[str, str]) -> Both:
    """With the Chinese that a table has for it; as it is where the table has none."""
    return Both(english, table.get(english, english))


def joined(texts: list[Both]) -> Both:
    """One after the other, with each language's comma."""
    return Both(", ".join(t.english for t in texts), "，".join(t.chinese for t in texts))
