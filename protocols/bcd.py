"""Packed BCD 压缩 BCD 码, low byte first: 1234.56 in four bytes is 56 34 12 00."""

from decimal import Decimal


def digits(data: bytes) -> str:
    """The decimal digits of `data`, highest first; two for each byte.

    Raises ValueError if a half-byte is not 0..9.
    """
    text = data[::-1].hex()
    if not (text.isdecimal() or not text):
        raise ValueError(f"not BCD: {data.hex()}")
    return text


def from_digits(text: str) -> bytes:
    """The bytes of a string of digits, highest first: "012345" is 45 23 01.

    Raises ValueError if the string is not an even number of decimal digits.
    """
    if len(text) % 2 or not (text.isascii() and (text.isdecimal() or not text)):
        raise ValueError(f"not an even number of digits: {text!r}")
    return bytes.fromhex(text)[::-1]


def decode(data: bytes, *, decimals: int = 0, signed: bool = False) -> Decimal:
    """The number in `data`, exact, with `decimals` places after the point.

    Where `signed`, the top bit of the highest byte is the sign and the rest a plain magnitude.
    Raises ValueError if a half-byte is not 0..9, or there is no byte.
    """
    if signed and data and data[-1] & 0x80:
        magnitude = decode(data[:-1] + bytes([data[-1] & 0x7F]), decimals=decimals)
        return magnitude.copy_negate() if magnitude else magnitude
    text = data[::-1].hex()
    if not text.isdecimal():
        raise ValueError(f"not BCD: {data.hex() or 'no digits'}")
    return Decimal(f"{text}E-{decimals}")


def encode(value: Decimal | int, *, size: int, decimals: int = 0, signed: bool = False) -> bytes:
    """The number in `size` bytes, with `decimals` places after the point. Never rounds.

    Raises ValueError if the value has more places, does not fit, or is negative and not `signed`.
    """
    scaled = Decimal(value).scaleb(decimals)
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"{value} has more than {decimals} places")
    magnitude = abs(int(scaled))
    limit = 8 * 10 ** (2 * size - 1) if signed else 10 ** (2 * size)
    if magnitude >= limit or (scaled < 0 and not signed):
        raise ValueError(f"{value} does not fit in {size} bytes of BCD")
    data = bytearray(from_digits(f"{magnitude:0{2 * size}d}"))
    if scaled < 0:
        data[-1] |= 0x80
    return bytes(data)
