"""The file of a backup: a header to be read by anybody, then members, compressed, sealed where there is a passphrase.

    WATTWELL-BACKUP 1 LF
    header, JSON LF
    frames: length (4 bytes, big endian), as many bytes; the last is followed by a length of zero
    SHA-256 of all before it

The frames' contents one after another are one zlib stream of records: kind (1 byte), length (4 bytes), bytes. J
begins a member and says in JSON what it is; D is a piece of it. With a passphrase each frame is sealed by
AES-256-GCM, its key by scrypt; its nonce is its number, and the header and whether it is the last are authenticated.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC = b"WATTWELL-BACKUP 1\n"
FRAME_BYTES = 1 << 20
SCRYPT = {"n": 1 << 15, "r": 8, "p": 1}
_LENGTH = struct.Struct(">I")
_LONGEST_HEADER = 64 * 1024


class BadBackup(Exception):
    """The file is none, is damaged, or is sealed with another passphrase. The text says which."""


class Writer:
    """Writes a new file of mode 0600, which is there only once close has been called."""

    def __init__(self, to: Path, header: dict[str, Any], passphrase: str | None) -> None:
        """Raises OSError, also if the file is there already."""
        self._to, self._part = to, to.with_name(to.name + ".part")
        if to.exists():
            raise FileExistsError(f"{to} is there already; give the backup another name")
        header = dict(header)
        self._key: AESGCM | None = None
        if passphrase is not None:
            salt = os.urandom(16)
            self._key = _key(passphrase, salt, SCRYPT)
            header["sealed"] = {**SCRYPT, "salt": base64.b64encode(salt).decode()}
        self._head = MAGIC + json.dumps(header, ensure_ascii=False).encode() + b"\n"
        descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._sum = hashlib.sha256()
        self._packer = zlib.compressobj(6)
        self._waiting = bytearray()
        self._frames = 0
        self._put(self._head)

    def member(self, what: dict[str, Any]) -> None:
        """Begins a member."""
        self._record(b"J", json.dumps(what, ensure_ascii=False).encode())

    def data(self, piece: bytes | bytearray | memoryview) -> None:
        """A piece of the member that was begun."""
        self._record(b"D", bytes(piece))

    def close(self) -> None:
        """Puts the file in its place, on the disk."""
        self._waiting += self._packer.flush()
        while len(self._waiting) > FRAME_BYTES:
            self._frame(is_last=False)
        self._frame(is_last=True)
        self._put(_LENGTH.pack(0))
        self._file.write(self._sum.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._to)

    def abandon(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def _record(self, kind: bytes, payload: bytes) -> None:
        self._waiting += self._packer.compress(kind + _LENGTH.pack(len(payload)) + payload)
        while len(self._waiting) > FRAME_BYTES:
            self._frame(is_last=False)

    def _frame(self, *, is_last: bool) -> None:
        piece = bytes(self._waiting[:FRAME_BYTES])
        del self._waiting[:FRAME_BYTES]
        if self._key is not None:
            nonce, told = _sealing(self._head, self._frames, is_last=is_last)
            piece = self._key.encrypt(nonce, piece, told)
        self._frames += 1
        self._put(_LENGTH.pack(len(piece)) + piece)

    def _put(self, written: bytes) -> None:
        self._sum.update(written)
        self._file.write(written)


def read_header(path: Path) -> dict[str, Any]:
    """What anybody may know of a backup. Raises BadBackup or OSError."""
    with path.open("rb") as file:
        return _header(file)[1]


def check(path: Path) -> None:
    """Reads the file to its end. Raises BadBackup if it is not as it was written; OSError."""
    size = path.stat().st_size - hashlib.sha256().digest_size
    found = hashlib.sha256()
    with path.open("rb") as file:
        _header(file)
        file.seek(0)
        while size > 0:
            piece = file.read(min(size, FRAME_BYTES))
            if not piece:
                break
            found.update(piece)
            size -= len(piece)
        if file.read() != found.digest():
            raise BadBackup(f"{path} is damaged: it is not as it was written; take another backup")


def members(path: Path, passphrase: str | None) -> Iterator[tuple[dict[str, Any], Iterator[bytes]]]:
    """Each member and its pieces, which are to be read before the next. Raises BadBackup or OSError."""
    with path.open("rb") as file:
        head, header = _header(file)
        sealing = header.get("sealed")
        key = None
        if sealing is not None:
            if passphrase is None:
                raise BadBackup(f"{path} is sealed: its passphrase is needed")
            key = _key(passphrase, base64.b64decode(sealing["salt"]), sealing)
        stream = _Stream(_frames(file, head, key, path))
        kind, payload = stream.record()
        while kind == b"J":
            what = json.loads(payload)
            pieces = _Pieces(stream)
            yield what, iter(pieces)
            for _ in pieces:  # what was left unread
                pass
            assert pieces.after is not None
            kind, payload = pieces.after


class _Pieces:
    """The D records up to the next of another kind."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.after: tuple[bytes, bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        while self.after is None:
            kind, payload = self._stream.record()
            if kind == b"D":
                yield payload
            else:
                self.after = (kind, payload)


class _Stream:
    """Records out of frames."""

    def __init__(self, frames: Iterator[bytes]) -> None:
        self._frames = frames
        self._unpacker = zlib.decompressobj()
        self._ready = bytearray()

    def record(self) -> tuple[bytes, bytes]:
        """Its kind and bytes; the kind is empty after the last."""
        head = self._take(5)
        if not head:
            return b"", b""
        (length,) = _LENGTH.unpack(head[1:])
        return head[:1], self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._ready) < count:
            frame = next(self._frames, None)
            if frame is None:
                self._ready += self._unpacker.flush()
                break
            self._ready += self._unpacker.decompress(frame)
        if self._ready and len(self._ready) < count:
            raise BadBackup("the backup ends in the middle of a record")
        taken = bytes(self._ready[:count])
        del self._ready[:count]
        return taken


def _frames(file: IO[bytes], head: bytes, key: AESGCM | None, path: Path) -> Iterator[bytes]:
    number = 0
    (length,) = _LENGTH.unpack(file.read(4))
    while length:
        piece = file.read(length)
        (following,) = _LENGTH.unpack(file.read(4))
        if key is not None:
            nonce, told = _sealing(head, number, is_last=following == 0)
            try:
                piece = key.decrypt(nonce, piece, told)
            except InvalidTag:
                raise BadBackup(
                    f"{path} is sealed with another passphrase, or is damaged"
                ) from None
        yield piece
        number, length = number + 1, following


def _header(file: IO[bytes]) -> tuple[bytes, dict[str, Any]]:
    magic = file.read(len(MAGIC))
    line = file.readline(_LONGEST_HEADER)
    try:
        header = json.loads(line) if magic == MAGIC else None
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise BadBackup(f"{file.name} is no backup of Wattwell")
    return magic + line, header


def _sealing(head: bytes, number: int, *, is_last: bool) -> tuple[bytes, bytes]:
    """The nonce of a frame, and what is authenticated with it."""
    return number.to_bytes(12, "big"), hashlib.sha256(head).digest() + bytes([is_last])


def _key(passphrase: str, salt: bytes, cost: dict[str, Any]) -> AESGCM:
    derived = Scrypt(salt=salt, length=32, n=cost["n"], r=cost["r"], p=cost["p"])
    return AESGCM(derived.derive(passphrase.encode()))
