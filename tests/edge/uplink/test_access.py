"""How the broker and the cloud are reached: addresses, certificates, and a clock that was never set."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge.uplink.access import Access, BadCertificate, BrokerAt, broker_at, tls_context
from edge.uplink.cloud_http import Refused, Unreachable, check_address, checked
from edge.uplink.link import MqttLink
from wattwell.broker import Broker, hash_password
from wattwell.supervise import free_port

NEVER_SET = datetime(1970, 1, 1, tzinfo=UTC)
YEAR = dt.timedelta(days=365)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("mqtt://10.0.0.1:1884", BrokerAt("10.0.0.1", 1884, is_tls=False)),
        ("mqtt://broker", BrokerAt("broker", 1883, is_tls=False)),
        ("mqtts://broker.test", BrokerAt("broker.test", 8883, is_tls=True)),
        ("mqtts://[::1]:8884/", BrokerAt("::1", 8884, is_tls=True)),
    ],
)
def test_a_brokers_address_says_whether_it_speaks_tls(text: str, at: BrokerAt):
    assert broker_at(text) == at


@pytest.mark.parametrize(
    "text", ["", "broker:1883", "http://broker", "mqtt://", "mqtt://b:x", "mqtt://b/t"]
)
def test_what_is_no_brokers_address_is_refused(text: str):
    with pytest.raises(ValueError, match="must be mqtts://HOST:PORT"):
        broker_at(text)


def test_a_password_is_not_sent_in_the_clear_at_one_address_of_several():
    with pytest.raises(ValueError, match="all addresses"):
        Access((broker_at("mqtts://a"), broker_at("mqtt://b")), "u", "p", ca=None)


def test_plain_http_leads_nowhere_but_home_and_only_where_it_is_allowed():
    for url in (
        "http://127.0.0.1:8080",
        "http://localhost",
        "http://192.168.1.5:8080/",
        "http://[::1]:80",
    ):
        assert check_address(url, is_plain_allowed=True) == url.rstrip("/")
        with pytest.raises(ValueError, match="--plain-http"):
            check_address(url, is_plain_allowed=False)
    for url in ("http://wattwell.example.com", "http://8.8.8.8"):
        with pytest.raises(ValueError, match="needs https"):
            check_address(url, is_plain_allowed=True)
    assert check_address("https://w.test/", is_plain_allowed=False) == "https://w.test"
    for url in ("", "w.test", "ftp://w.test", "https://", "https://w.test:x", "https://w.test?q"):
        with pytest.raises(ValueError, match="is not an address like"):
            check_address(url, is_plain_allowed=True)


def test_what_the_cloud_answers_is_a_refusal_only_if_it_says_so():
    assert checked("u", 200, b"text") == b"text"
    with pytest.raises(Refused, match="No more") as refused:
        checked("u", 403, b'{"code": "Revoked", "message": "No more."}')
    assert refused.value.code == "Revoked"
    for status, said in (
        (403, b"<html>"),  # some other program
        (404, b"[]"),
        (200, b"x" * 100_000),
        (429, b'{"code": "TooMany", "message": "Later."}'),
        (503, b'{"code": "DatabaseAway", "message": "Later."}'),
    ):
        with pytest.raises(Unreachable):
            checked("u", status, said)


class Authority:
    """A certificate authority of one's own."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        now = datetime.now(UTC)
        certificate = self._sign(
            self._name, self._key.public_key(), now - 20 * YEAR, now + 20 * YEAR, is_authority=True
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, folder: Path, *, since: datetime, until: datetime) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        certificate = self._sign(name, key.public_key(), since, until, is_authority=False)
        paths = folder / "broker.crt", folder / "broker.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _sign(self, name, public, since, until, *, is_authority: bool) -> x509.Certificate:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def test_what_is_no_certificate_is_refused_with_a_sentence():
    with pytest.raises(BadCertificate):
        tls_context("nonsense", now=datetime.now(UTC))


class Ears:
    def link_changed(self) -> None: ...

    def deliver(self, payload: bytes) -> None: ...


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def serve(tmp_path: Path, authority: Authority) -> Iterator:
    """A broker whose certificate is good from and to these years before and after now."""
    running: list[Broker] = []

    def serve(*, since: int, until: int) -> Broker:
        now = datetime.now(UTC)
        certificate = authority.issue(tmp_path, since=now + since * YEAR, until=now + until * YEAR)
        broker = Broker(
            tmp_path / "broker",
            mqtt_port=free_port(),
            nats_port=free_port(),
            certificate=certificate,
        )
        running.append(broker)
        broker.start({"GW-0001.1": hash_password("p")})
        return broker

    yield serve
    for broker in running:
        broker.stop()


async def connects(broker: Broker, ca: str, *, clock: datetime, brokers=None) -> bool:
    """Whether a gateway with this clock comes through within 3 seconds."""
    at = brokers or (BrokerAt("127.0.0.1", broker.mqtt_port, is_tls=True),)
    link = MqttLink(Access(at, "GW-0001.1", "p", ca), gateway_no="GW-0001", now=lambda: clock)
    link.start(Ears())
    for _ in range(30):
        if link.is_up:
            break
        await asyncio.sleep(0.1)
    await link.stop()
    return link.is_up


@pytest.mark.processes
async def test_a_gateway_speaks_tls_with_a_broker_whose_authority_it_believes(serve, authority):
    broker = serve(since=-1, until=1)
    now = datetime.now(UTC)
    assert await connects(broker, authority.pem, clock=now)
    assert not await connects(broker, Authority().pem, clock=now)


@pytest.mark.processes
async def test_a_clock_that_was_never_set_does_not_keep_a_gateway_from_its_broker(serve, authority):
    # To a clock of 1970 a good certificate is one of the future. One that is over stands here for any
    # whose time the clock is not in, as a test cannot set the system's clock.
    broker = serve(since=-3, until=-1)
    assert not await connects(broker, authority.pem, clock=datetime.now(UTC))
    assert await connects(broker, authority.pem, clock=NEVER_SET)
    assert not await connects(broker, Authority().pem, clock=NEVER_SET)


@pytest.mark.processes
async def test_a_gateway_goes_to_another_address_of_its_broker_where_one_is_away(serve, authority):
    broker = serve(since=-1, until=1)
    away = BrokerAt("127.0.0.1", free_port(), is_tls=True)
    there = BrokerAt("127.0.0.1", broker.mqtt_port, is_tls=True)
    assert await connects(broker, authority.pem, clock=datetime.now(UTC), brokers=(away, there))
