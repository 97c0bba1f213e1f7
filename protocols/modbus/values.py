"""Registers as read, decoded to values by their profile.

Values are exact: an integer times a decimal scale. A 32-bit float is taken as the shortest
decimal that has the same 32 bits. It is good for seven digits: a meter that cuts where it should
round sends 0.54499996 for the 0.545 it shows.
"""

from decimal import Decimal
from struct import pack, unpack

from protocols.modbus.layout import DIRECT, Profile, Ratio, Register, Type, Value, Words


def decode(profile: Profile, words: Words, ratio: Ratio) -> dict[str, Value]:
    """The value of every register whose words are there.

    Numbers are Decimals; BCD is its digits, bits and bytes are hexadecimal. None is what cannot
    be read: a float that is no number, digits that are not, or a value whose decimal point or
    prefix is not among the words.
    """
    return {
        register.name: _value(profile, register, words, ratio)
        for register in profile.registers.values()
        if all(key in words for key in register.keys)
    }


def value_of(profile: Profile, name: str, words: Words, ratio: Ratio) -> Value:
    """The value of one register as `decode` gives it; None too where its words are not there."""
    register = profile.registers[name]
    here = all(key in words for key in register.keys)
    return _value(profile, register, words, ratio) if here else None


def _value(profile: Profile, register: Register, words: Words, ratio: Ratio) -> Value:
    data = pack(f">{register.count}H", *(words[key] for key in register.keys))
    match register.type:
        case Type.BYTES | Type.BITS16:
            return data.hex().upper()
        case Type.BCD:
            return data.hex() if data.hex().isdecimal() else None
    raw = _number(register, data)
    factor = _factor(profile, register, words)
    if raw is None or factor is None:
        return None
    value = raw * register.scale * factor
    if "pt" in register.times:
        value *= ratio.pt
    if "ct" in register.times:
        value *= ratio.ct
    return value


def _number(register: Register, data: bytes) -> Decimal | None:
    if len(data) == 4:
        data = bytes(data["ABCD".index(letter)] for letter in register.order.value)
    match register.type:
        case Type.FLOAT32:
            return float32(data)
        case Type.S16 | Type.S32:
            return Decimal(int.from_bytes(data, "big", signed=True))
        case _:
            return Decimal(int.from_bytes(data, "big"))


def _factor(profile: Profile, register: Register, words: Words) -> Decimal | None:
    factor = Decimal(1)
    if register.point is not None:
        point = _plain(profile, register.point, words)
        if point is None or not 0 <= point <= 9:
            return None
        factor = Decimal(10) ** (int(point) - 3)
    if register.prefix is not None:
        prefix = _plain(profile, register.prefix, words)
        if prefix not in (0, 1):
            return None
        factor *= 1000 if prefix else 1
    return factor


def _plain(profile: Profile, name: str, words: Words) -> Decimal | None:
    value = value_of(profile, name, words, DIRECT)
    return value if isinstance(value, Decimal) else None


def float32(data: bytes) -> Decimal | None:
    """The shortest decimal that has these 32 bits, high byte first; None for NaN and infinity."""
    (number,) = unpack(">f", data)
    if number != number or number in (float("inf"), float("-inf")):
        return None
    for digits in range(6, 10):
        text = f"{number:.{digits}g}"
        try:
            if pack(">f", float(text)) == data:
                break
        except OverflowError:
            continue
    return Decimal(f"{Decimal(text):f}") + 0
