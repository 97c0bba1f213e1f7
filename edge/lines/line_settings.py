"""The tables [[line]] of gateway.toml: how each line is reached, and its manners."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from edge.lines.place import USUAL_BAUD, ListenAt, Place, SerialAt, TcpAt, checked_baud, port_at


@dataclass(frozen=True, slots=True)
class LineSettings:
    """A line, how it is reached, and its manners (edge.lines.place.Place)."""

    name: str
    at: SerialAt | TcpAt
    delay_s: float
    gap_s: float | None = None
    echoes: bool | None = None

    @property
    def place(self) -> Place:
        return Place(self.at, self.delay_s, self.gap_s, self.echoes)


def _is_port(text: str) -> str:
    port_at(text, USUAL_BAUD)
    return text


def _is_said(text: str) -> str:
    _bytes(text)
    return text


def _bytes(text: str) -> bytes:
    """Text as it stands, or "hex:" and bytes in hexadecimal. Raises ValueError for less than two bytes."""
    try:
        said = bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()
    except ValueError:
        said = b""
    if len(said) < 2:
        raise ValueError('must be a text, or "hex:" and bytes in hexadecimal; two bytes at least')
    return said


class LineTable(BaseModel):
    """[[line]] as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    name: Annotated[str, Field(min_length=1)]
    port: Annotated[str, AfterValidator(_is_port)]
    baud: Annotated[int, AfterValidator(checked_baud)] = USUAL_BAUD
    delay_s: Annotated[float, Field(ge=0, le=30)] | None = None
    gap_ms: Annotated[int, Field(ge=0, le=2000)] | None = None
    echo: bool | None = None
    registration: Annotated[str, AfterValidator(_is_said)] | None = None
    heartbeat: Annotated[str, AfterValidator(_is_said)] | None = None

    @field_validator("baud")
    @classmethod
    def _is_said_once(cls, baud: int, info: ValidationInfo) -> int:
        at = port_at(info.data["port"], baud) if "port" in info.data else None
        if isinstance(at, SerialAt) and at.baud != baud:
            raise ValueError(
                f"the rate of a serial device stands in its port, which says {at.baud}"
            )
        return baud

    @field_validator("registration", "heartbeat")
    @classmethod
    def _is_of_a_dtu(cls, said: str | None, info: ValidationInfo) -> str | None:
        if said is not None and not info.data.get("port", "tcp-listen:").startswith("tcp-listen:"):
            raise ValueError('is for a DTU that dials in: port must be "tcp-listen:HOST:PORT"')
        return said

    @property
    def at(self) -> SerialAt | TcpAt:
        return port_at(self.port, self.baud)

    def settings(self) -> LineSettings:
        at = self.at
        if isinstance(at, ListenAt):
            registration, heartbeat = (
                _bytes(said) if said is not None else b""
                for said in (self.registration, self.heartbeat)
            )
            at = replace(at, registration=registration, heartbeat=heartbeat)
        usual = 1.0 if isinstance(at, TcpAt) else 0.2
        return LineSettings(
            self.name,
            at,
            delay_s=usual if self.delay_s is None else self.delay_s,
            gap_s=None if self.gap_ms is None else self.gap_ms / 1000,
            echoes=self.echo,
        )
