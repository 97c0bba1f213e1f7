"""The sandbox payment channel: plays a payment company. `python -m simulators.channel FILE`.

A merchant places an order with a signed request and sends the customer to its pay page; when it is paid,
the channel calls the merchant back, signed, until it is acknowledged. No money is moved anywhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import logging
import signal
import socket
import sqlite3
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import uvicorn
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from simulators import pay_page
from simulators.callbacks import LADDER_S, Deliverer
from simulators.orders import (
    Misbehaviour,
    NewOrder,
    NoSuchOrder,
    Order,
    OrderDiffers,
    OrderExpired,
    OrderPaid,
    Orders,
    rfc3339,
)

log = logging.getLogger(__name__)

_Asked = TypeVar("_Asked", bound=BaseModel)

FRESH_S = 300
OPEN_FOR_S = 30 * 60
LARGEST_BODY = 65_536


class BadSettings(Exception):
    """A settings file that cannot be used. The text names the file and what to mend."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the channel runs with. port 0 takes a free one; public_url is where customers reach it."""

    host: str
    port: int
    public_url: str
    database: Path
    signing_key: Ed25519PrivateKey
    merchant: str
    merchant_title: str
    merchant_key: Ed25519PublicKey
    misbehaviour: Misbehaviour
    late_s: float
    ladder_s: tuple[float, ...]

    @classmethod
    def load(cls, path: Path) -> Settings:
        """From channel.toml; paths in it are relative to its folder.

        Raises BadSettings with one line for each thing to mend.
        """
        try:
            file = _FILE.validate_python(tomllib.loads(path.read_text()))
        except OSError as error:
            raise BadSettings(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadSettings(f"{path} is not TOML: {error}") from error
        except ValidationError as error:
            raise BadSettings("\n".join(f"{path}: {fault}" for fault in _faults(error))) from error
        key_file = path.parent / file.signing_key_file
        try:
            key = Ed25519PrivateKey.from_private_bytes(_key_bytes(key_file.read_text()))
            merchant_key = Ed25519PublicKey.from_public_bytes(_key_bytes(file.merchant.public_key))
        except OSError as error:
            raise BadSettings(f"{path}: signing_key_file: {error.strerror}: {key_file}") from error
        except ValueError as error:
            raise BadSettings(
                f"{path}: signing_key_file and merchant.public_key each hold"
                f" 32 bytes of an Ed25519 key in base64: {error}"
            ) from error
        host, _, port = file.listen.rpartition(":")
        return cls(
            host=host,
            port=int(port),
            public_url=file.public_url.rstrip("/"),
            database=path.parent / file.database,
            signing_key=key,
            merchant=file.merchant.name,
            merchant_title=file.merchant.title,
            merchant_key=merchant_key,
            misbehaviour=file.misbehaviour,
            late_s=file.late_s,
            ladder_s=tuple(file.retry_s),
        )


class _MerchantTable(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1)]
    title: Annotated[str, Field(min_length=1)]
    public_key: str


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address that starts with http:// or https://")
    return text


_WebAddress = Annotated[str, Field(max_length=2000), AfterValidator(_web_address)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    listen: Annotated[str, Field(pattern=r"^[^:]+:\d{1,5}$")]
    public_url: _WebAddress
    database: Path
    signing_key_file: Path
    merchant: _MerchantTable
    misbehaviour: Misbehaviour = Misbehaviour.NONE
    late_s: Annotated[float, Field(ge=0)] = 10.0
    retry_s: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = list(LADDER_S)


_FILE = TypeAdapter(_File)


def _faults(error: ValidationError) -> list[str]:
    return [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]


def _key_bytes(text: str) -> bytes:
    return base64.b64decode(text.strip(), validate=True)


class _PlaceOrder(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    merchant: str
    out_trade_no: Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{6,64}$")]
    amount_fen: Annotated[int, Field(gt=0, le=100_000_000)]
    description: Annotated[str, Field(min_length=1, max_length=127)]
    notify_url: _WebAddress
    return_url: _WebAddress


class _Misbehave(BaseModel):
    model_config = ConfigDict(extra="forbid")
    misbehaviour: Misbehaviour
    out_trade_no: str | None = None


class _ChannelError(Exception):
    """Answered as JSON: an HTTP status, a code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def create_app(settings: Settings) -> FastAPI:
    """The channel as a web application; it delivers callbacks for as long as it runs."""
    orders = Orders(settings.database, open_for_s=OPEN_FOR_S, late_s=settings.late_s)
    orders.misbehave(settings.misbehaviour, None)
    deliverer = Deliverer(orders, settings.signing_key, settings.ladder_s)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        delivering = asyncio.create_task(deliverer.run())
        yield
        delivering.cancel()
        with suppress(asyncio.CancelledError):
            await delivering
        orders.close()

    app = FastAPI(title="Sandbox payment channel", lifespan=lifespan, docs_url=None, redoc_url=None)

    @app.exception_handler(_ChannelError)
    async def refuse(_: Request, error: _ChannelError) -> JSONResponse:
        return JSONResponse({"code": error.code, "message": str(error)}, error.status)

    @app.exception_handler(sqlite3.Error)
    async def apologize(_: Request, error: sqlite3.Error) -> JSONResponse:
        log.error("the books in %s cannot be written: %s", settings.database, error)
        message = "The channel cannot write its books. Nothing was changed; try again later."
        return JSONResponse({"code": "UNAVAILABLE", "message": message}, 503)

    @app.post("/v1/orders")
    async def place(request: Request) -> dict[str, str]:
        asked = _parse(_PlaceOrder, await _signed_body(request, settings))
        if asked.merchant != settings.merchant:
            raise _ChannelError(403, "NOT_YOURS", "The order names another merchant.")
        try:
            order = orders.place(NewOrder(**asked.model_dump()), time.time())
        except OrderDiffers as error:
            raise _ChannelError(409, "ORDER_EXISTS", f"This number has {error}.") from error
        return {
            "pay_url": f"{settings.public_url}/pay/{order.new.out_trade_no}",
            "expires_at": rfc3339(order.expires_at),
        }

    @app.get("/v1/orders/{out_trade_no}")
    async def query(request: Request, out_trade_no: str) -> dict[str, Any]:
        await _signed_body(request, settings)
        order = _found(orders, out_trade_no)
        return {
            "out_trade_no": order.new.out_trade_no,
            "state": _state(order),
            "amount_fen": order.new.amount_fen,
            "transaction_id": order.transaction_id,
            "paid_at": None if order.paid_at is None else rfc3339(order.paid_at),
        }

    @app.post("/v1/orders/{out_trade_no}/close", status_code=204)
    async def close(request: Request, out_trade_no: str) -> None:
        await _signed_body(request, settings)
        try:
            orders.expire(out_trade_no, time.time())
        except NoSuchOrder as error:
            raise _ChannelError(404, "NO_SUCH_ORDER", f"There is no order {error}.") from error
        except OrderPaid as error:
            raise _ChannelError(409, "ORDER_PAID", f"Order {error} is paid.") from error

    @app.put("/v1/misbehaviour", status_code=204)
    async def misbehave(request: Request) -> None:
        """For tests: how callbacks go wrong from the next payment on, of one order or of all."""
        asked = _parse(_Misbehave, await _signed_body(request, settings))
        try:
            orders.misbehave(asked.misbehaviour, asked.out_trade_no)
        except NoSuchOrder as error:
            raise _ChannelError(404, "NO_SUCH_ORDER", f"There is no order {error}.") from error

    @app.get("/pay/{out_trade_no}")
    async def show(request: Request, out_trade_no: str) -> Response:
        language = pay_page.language(request)
        try:
            order = orders.find(out_trade_no)
        except NoSuchOrder:
            return pay_page.unknown(language, settings.merchant_title)
        return pay_page.sheet(language, settings.merchant_title, order, time.time())

    @app.post("/pay/{out_trade_no}")
    async def pay(request: Request, out_trade_no: str) -> Response:
        language = pay_page.language(request)
        try:
            order = orders.pay(out_trade_no, time.time())
        except NoSuchOrder:
            return pay_page.unknown(language, settings.merchant_title)
        except OrderExpired:
            return pay_page.sheet(
                language, settings.merchant_title, orders.find(out_trade_no), time.time()
            )
        deliverer.wake()
        return RedirectResponse(order.new.return_url, 303)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"state": "up"}

    return app


async def _signed_body(request: Request, settings: Settings) -> bytes:
    """The body, if the request is signed by the merchant and fresh; else 401."""
    body = await request.body()
    if len(body) > LARGEST_BODY:
        raise _ChannelError(413, "TOO_LARGE", f"A request has at most {LARGEST_BODY} bytes.")
    merchant = request.headers.get("Sandbox-Merchant", "")
    timestamp = request.headers.get("Sandbox-Timestamp", "")
    nonce = request.headers.get("Sandbox-Nonce", "")
    signed = request.headers.get("Sandbox-Signature", "")
    if merchant != settings.merchant or not nonce:
        raise _ChannelError(401, "UNKNOWN_MERCHANT", "The request names no merchant known here.")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > FRESH_S:
        raise _ChannelError(401, "STALE", f"The timestamp is not within {FRESH_S} s of now.")
    head = f"{request.method}\n{request.url.path}\n{timestamp}\n{nonce}\n"
    try:
        settings.merchant_key.verify(_key_bytes(signed), head.encode() + body + b"\n")
    except (InvalidSignature, binascii.Error) as error:
        raise _ChannelError(
            401, "BAD_SIGNATURE", "The signature is not the merchant's over this request."
        ) from error
    return body


def _parse(shape: type[_Asked], body: bytes) -> _Asked:
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise _ChannelError(400, "BAD_REQUEST", "; ".join(_faults(error))) from error


def _found(orders: Orders, out_trade_no: str) -> Order:
    try:
        return orders.find(out_trade_no)
    except NoSuchOrder as error:
        raise _ChannelError(404, "NO_SUCH_ORDER", f"There is no order {error}.") from error


def _state(order: Order) -> Literal["waiting", "paid"]:
    return "waiting" if order.paid_at is None else "paid"


class _Server(uvicorn.Server):
    """Leaves signals to `run`, so that SIGTERM ends with status 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. The exit status: 0, or 1 after one clear sentence."""
    try:
        listening = socket.create_server((settings.host, settings.port))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        why = "is taken by another program" if taken else f"cannot be opened: {error.strerror}"
        log.error("port %s of %s %s", settings.port, settings.host, why)
        return 1
    try:
        app = create_app(settings)
    except sqlite3.Error as error:
        log.error("the books in %s cannot be opened: %s", settings.database, error)
        listening.close()
        return 1
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line for each callback
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            timeout_graceful_shutdown=3,
        )
    )

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    log.info("sandbox channel at %s", settings.public_url)
    await server.serve(sockets=[listening])
    return 0 if server.started else 1


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    if len(sys.argv) != 2:
        sys.exit("usage: python -m simulators.channel path/to/channel.toml")
    try:
        settings = Settings.load(Path(sys.argv[1]))
    except BadSettings as error:
        sys.exit(str(error))
    sys.exit(asyncio.run(run(settings)))


if __name__ == "__main__":
    main()
