"""From a payment channel's callback to the credit on the wire, while gateways send readings.

The real web program and the real worker, a PostgreSQL and a broker, each a process. A callback of the sandbox
channel, signed, is sent over HTTP; it has arrived when a gateway's MQTT client holds the `Credited` that the cloud
has signed. Gateways acknowledge what they get and send RATE readings a second together, in messages of SIZE. In each
round, between callbacks, a request that touches nothing and a commit of two rows are timed, one after the other:
what an answer over HTTP and a durable write cost on this machine at that moment.

    python -m benchmarks --only callback
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks import ledger
from benchmarks.cloud import FEN, Cloud, opened, order
from benchmarks.figure import Figure
from benchmarks.gateway import SOON_S, Gateway, connected
from cloud.services import crediting
from prepaid.seal import KeySet
from simulators.callbacks import signature
from wattwell import supervise
from wattwell.broker import Broker, hash_password
from wattwell.supervise import Program

GATEWAYS = tuple(f"GW-BENCH-{number}" for number in range(4))
POINTS = 128
RATE, SIZE = 256, 32  # readings a second, and in a message: 10,000 rooms, each read every 40 s
CALLBACKS = 100  # in a round
PAUSE_S = 0.05  # between callbacks
LOOK_S = 0.0005


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs, running; url is that of the web program."""

    cloud: Cloud
    url: str
    channel_key: Ed25519PrivateKey
    gateways: tuple[Gateway, ...]
    client: httpx.Client


@contextmanager
def _installation() -> Iterator[Installation]:
    with ExitStack() as with_:
        cloud = with_.enter_context(opened(POINTS, gateway_nos=GATEWAYS))
        folder = Path(with_.enter_context(tempfile.TemporaryDirectory()))
        broker = Broker(
            folder / "broker", mqtt_port=supervise.free_port(), nats_port=supervise.free_port()
        )
        passwords = {gateway_no: secrets.token_urlsafe(24) for gateway_no in GATEWAYS}
        broker.start({user: hash_password(password) for user, password in passwords.items()})
        with_.callback(broker.stop)
        keys = [Ed25519PrivateKey.generate() for _ in range(3)]
        ours, merchant, channel = keys
        url = f"http://127.0.0.1:{supervise.free_port()}"
        config = _write_settings(
            folder, cloud, broker, url, signing=ours, merchant=merchant, channel=channel
        )
        web = _start(folder, "web", config, with_)
        _start(folder, "worker", config, with_)
        client = with_.enter_context(httpx.Client(base_url=url, timeout=SOON_S, trust_env=False))
        web.wait_until(lambda: _answers(client), timeout_s=60)
        known = KeySet([ours.public_key()])
        gateways = tuple(
            with_.enter_context(
                connected(
                    gateway_no,
                    cloud.points[number :: len(GATEWAYS)],
                    password=passwords[gateway_no],
                    port=broker.mqtt_port,
                    keys=known,
                )
            )
            for number, gateway_no in enumerate(GATEWAYS)
        )
        yield Installation(cloud, url, channel, gateways, client)


def _write_settings(
    folder: Path,
    cloud: Cloud,
    broker: Broker,
    url: str,
    *,
    signing: Ed25519PrivateKey,
    merchant: Ed25519PrivateKey,
    channel: Ed25519PrivateKey,
) -> Path:
    (folder / "secrets").mkdir(mode=0o700)
    for name, value in {
        "database_url": cloud.dsn,
        "nats_url": broker.nats_url,
        "session_secret": secrets.token_urlsafe(32),
        "code_secret": secrets.token_urlsafe(32),
        "signing_key": _text(signing.private_bytes_raw()),
        "sandbox_merchant_key": _text(merchant.private_bytes_raw()),
    }.items():
        (folder / "secrets" / name).write_text(value)
    config = folder / "cloud.toml"
    config.write_text(
        f'listen = "{url.removeprefix("http://")}"\n'
        f'public_url = "{url}"\n'
        f'brokers = ["mqtt://127.0.0.1:{broker.mqtt_port}"]\n'
        'sandbox_url = "http://127.0.0.1:1"\n'
        f'sandbox_channel_key = "{_text(channel.public_key().public_bytes_raw())}"\n'
    )
    return config


def _text(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _start(folder: Path, name: str, config: Path, with_: ExitStack) -> Program:
    command = [sys.executable, "-m", "wattwell", "cloud", name, "--config", config]
    program = supervise.start(name, command, log=folder / f"{name}.log")
    with_.callback(program.stop)
    return program


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/health").is_success
    except httpx.TransportError:
        return False


class Load:
    """Readings of all gateways at RATE, from a thread, until the block ends."""

    def __init__(self, gateways: tuple[Gateway, ...]) -> None:
        self._gateways = gateways
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.said = 0
        self.began = self.ended = 0.0

    def __enter__(self) -> Load:
        self.began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.ended = time.perf_counter()

    def _run(self) -> None:
        while not self._stop.is_set():
            gateway = self._gateways[self.said % len(self._gateways)]
            if gateway.is_ready:
                gateway.say(SIZE)
                self.said += 1
            due = self.began + self.said * SIZE / RATE
            self._stop.wait(max(due - time.perf_counter(), LOOK_S))

    @property
    def rate(self) -> float:
        """Readings a second, as they were said."""
        return self.said * SIZE / (self.ended - self.began)


def _call_back(installation: Installation, out_trade_no: str, transaction: str) -> None:
    body = json.dumps(
        {
            "event_id": transaction,
            "merchant": "wattwell",
            "out_trade_no": out_trade_no,
            "transaction_id": transaction,
            "amount_fen": FEN,
            "state": "paid",
            "paid_at": datetime.now(UTC).isoformat(),
        }
    )
    timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
    signed = signature(installation.channel_key, timestamp=timestamp, nonce=nonce, body=body)
    answer = installation.client.post(
        "/api/channels/sandbox/notify",
        content=body,
        headers={
            "Content-Type": "application/json",
            "Sandbox-Timestamp": timestamp,
            "Sandbox-Nonce": nonce,
            "Sandbox-Signature": signed,
        },
    )
    answer.raise_for_status()


def _round(installation: Installation) -> tuple[list[float], list[float], float]:
    """Seconds of each callback and of each reference, and the rate at which readings were sent meanwhile."""
    cloud, gateways = installation.cloud, installation.gateways
    orders = [order(cloud, number) for number in range(CALLBACKS)]
    took, reference = [], []
    with Load(gateways) as load:
        for number, ordered in enumerate(orders):
            gateway = gateways[number % POINTS % len(gateways)]
            transaction = uuid4().hex
            cause = crediting.cause_of("sandbox", transaction)
            began = time.perf_counter()
            _call_back(installation, ordered.out_trade_no, transaction)
            while cause not in gateway.arrived:
                assert time.perf_counter() - began < SOON_S, "a credit never came"
                time.sleep(LOOK_S)
            took.append(gateway.arrived[cause] - began)
            began = time.perf_counter()
            installation.client.get("/health/live").raise_for_status()
            ledger.two_rows(cloud, ledger.top_up(cloud))
            reference.append(time.perf_counter() - began)
            time.sleep(PAUSE_S)
    return took, reference, load.rate


def figures(rounds: int) -> list[Figure]:
    worst, ratios, typical, rates = [], [], [], []
    with _installation() as installation:
        for gateway in installation.gateways:
            gateway.say(SIZE)  # so the cloud knows that they are online, and sends what it has
        _settle(installation)
        time.sleep(1)
        for _ in range(rounds):
            took, reference, rate = _round(installation)
            worst.append(_p99(took) * 1000)
            typical.append(sorted(took)[len(took) // 2] * 1000)
            ratios.append(_p99(took) / _p99(reference))
            rates.append(rate)
        _settle(installation)
    assert min(rates) > 0.8 * RATE, f"readings came at {min(rates):.0f} a second only"
    beside = f"a limit, with {RATE} readings/s beside it"
    return [
        Figure(
            "cloud", "callback to credit on the wire, p99", tuple(worst), beside, 100.0, True, " ms"
        ),
        Figure("cloud", "callback to credit, median", tuple(typical), "", unit=" ms"),
        Figure(
            "cloud", "callback to credit, p99", tuple(ratios), "p99 of HTTP and a commit", unit=" ×"
        ),
    ]


def _settle(installation: Installation) -> None:
    """Returns when every reading that was sent is applied."""
    until = time.perf_counter() + SOON_S
    while not all(gateway.is_ready for gateway in installation.gateways):
        assert time.perf_counter() < until, "readings that were sent are not applied"
        time.sleep(LOOK_S)


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]
