"""The sandbox channel: what it signs is taken, once; nothing else is."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from cloud import tables
from cloud.channels import ChannelAway, ChannelRefused, Forged, Payer, Way
from cloud.channels.sandbox import Sandbox
from cloud.services import ledger
from prepaid.money import ZERO, Money
from wattwell import supervise

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def notice(**changed: object) -> dict[str, object]:
    return {
        "event_id": "E1",
        "merchant": "wattwell",
        "out_trade_no": "W1",
        "transaction_id": "T1",
        "amount_fen": 5000,
        "state": "paid",
        "paid_at": NOW.isoformat(),
        **changed,
    }


def signed(key: Ed25519PrivateKey, body: bytes, at: datetime) -> dict[str, str]:
    timestamp, nonce = str(int(at.timestamp())), "n1"
    signature = key.sign(f"{timestamp}\n{nonce}\n".encode() + body + b"\n")
    return {
        "sandbox-timestamp": timestamp,
        "sandbox-nonce": nonce,
        "sandbox-signature": base64.b64encode(signature).decode(),
    }


@pytest.fixture
def sandbox(keys) -> Sandbox:
    return made(keys, "http://127.0.0.1:1")


def made(keys, url: str) -> Sandbox:
    return Sandbox(
        url=url,
        merchant="wattwell",
        merchant_key=keys.merchant,
        channel_key=keys.channel.public_key(),
        notify_url="http://cloud.test/api/channels/sandbox/notify",
    )


def test_a_notice_signed_by_the_channel_is_read(keys, sandbox):
    body = json.dumps(notice()).encode()
    payment = sandbox.read_notice(signed(keys.channel, body, NOW), body, now=NOW)
    assert (payment.out_trade_no, payment.transaction_id) == ("W1", "T1")
    assert (payment.amount, payment.paid_at) == (Money.yuan("50"), NOW)


def test_a_notice_signed_by_anyone_else_is_forged(keys, sandbox):
    body = json.dumps(notice()).encode()
    for key in (keys.merchant, keys.cloud, Ed25519PrivateKey.generate()):
        with pytest.raises(Forged, match="not signed by the channel"):
            sandbox.read_notice(signed(key, body, NOW), body, now=NOW)


def test_a_notice_altered_by_one_byte_is_forged(keys, sandbox):
    body = json.dumps(notice()).encode()
    headers = signed(keys.channel, body, NOW)
    for index in range(len(body)):
        altered = body[:index] + bytes([body[index] ^ 1]) + body[index + 1 :]
        with pytest.raises(Forged, match="not signed"):
            sandbox.read_notice(headers, altered, now=NOW)
    for name in headers:
        with pytest.raises(Forged, match="not signed"):
            sandbox.read_notice({**headers, name: headers[name] + "1"}, body, now=NOW)
        with pytest.raises(Forged, match="not signed"):
            sandbox.read_notice({k: v for k, v in headers.items() if k != name}, body, now=NOW)


@pytest.mark.parametrize("seconds", [-301, 301, 86400])
def test_a_notice_kept_for_later_is_refused(keys, sandbox, seconds):
    body = json.dumps(notice()).encode()
    headers = signed(keys.channel, body, NOW)
    with pytest.raises(Forged, match="not sent just now"):
        sandbox.read_notice(headers, body, now=NOW + timedelta(seconds=seconds))
    sandbox.read_notice(headers, body, now=NOW + timedelta(seconds=300))


@pytest.mark.parametrize(
    "changed",
    [
        {"merchant": "other"},
        {"state": "waiting"},
        {"amount_fen": 0},
        {"amount_fen": -5000},
        {"amount_fen": 50.5},
        {"amount_fen": "5000"},
        {"paid_at": "2026-03-02T12:00:00"},
        {"transaction_id": ""},
    ],
)
def test_a_signed_notice_that_says_something_else_is_refused(keys, sandbox, changed):
    body = json.dumps(notice(**changed)).encode()
    with pytest.raises(Forged):
        sandbox.read_notice(signed(keys.channel, body, NOW), body, now=NOW)


def test_a_channel_that_does_not_answer_is_away(sandbox):
    with pytest.raises(ChannelAway):
        sandbox.order(
            out_trade_no="W1",
            amount=Money(1),
            description="x",
            return_url="http://cloud.test",
            way=Way.PAGE,
            payer=Payer(),
        )
    with pytest.raises(ChannelAway):
        sandbox.payment("W1")


@pytest.fixture
def payment_company(tmp_path: Path, keys) -> Iterator[str]:
    """The simulated payment company, as a server."""
    from simulators import channel

    port = supervise.free_port()
    public = base64.b64encode(keys.merchant.public_key().public_bytes_raw()).decode()
    (tmp_path / "channel_key").write_text(
        base64.b64encode(keys.channel.private_bytes_raw()).decode()
    )
    (tmp_path / "channel.toml").write_text(
        f'listen = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{port}"\n'
        'database = "channel.sqlite"\nsigning_key_file = "channel_key"\n'
        f'[merchant]\nname = "wattwell"\ntitle = "Wattwell"\npublic_key = "{public}"\n'
    )
    app = channel.create_app(channel.Settings.load(tmp_path / "channel.toml"))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.mark.processes
def test_the_payment_company_takes_our_orders_and_tells_what_was_paid(keys, payment_company):
    sandbox = made(keys, payment_company)
    asked: dict[str, Any] = {
        "out_trade_no": "W" * 32,
        "amount": Money.yuan("50"),
        "description": "电费",
        "return_url": "http://cloud.test/back",
        "way": Way.PAGE,
        "payer": Payer(),
    }
    order = sandbox.order(**asked)
    assert sandbox.order(**asked).pay_url == order.pay_url
    with pytest.raises(ChannelRefused):
        sandbox.order(**{**asked, "amount": Money.yuan("51")})
    assert sandbox.payment("W" * 32) is None
    assert sandbox.payment("X" * 32) is None

    sandbox.order(**{**asked, "out_trade_no": "C" * 32})
    for number in ("C" * 32, "C" * 32, "X" * 32):
        sandbox.close(number)
    closed = httpx.post(f"{payment_company}/pay/{'C' * 32}", headers={"Origin": payment_company})
    assert closed.status_code == 410
    assert sandbox.payment("C" * 32) is None

    paid = httpx.post(order.pay_url, headers={"Origin": payment_company})
    assert paid.status_code == 303

    payment = sandbox.payment("W" * 32)
    assert payment is not None
    assert payment.amount == Money.yuan("50")
    assert payment.transaction_id
    with pytest.raises(ChannelRefused):
        sandbox.close("W" * 32)


@pytest.fixture
def tell(web, keys):
    """Posts a notice to the cloud, as the channel does."""

    def tell(
        body: dict[str, object],
        key: Ed25519PrivateKey = keys.channel,
        late: timedelta = timedelta(0),
    ) -> httpx.Response:
        raw = json.dumps(body).encode()
        headers = signed(key, raw, datetime.now(UTC) - late)
        return web.post("/api/channels/sandbox/notify", content=raw, headers=headers)

    return tell


@pytest.mark.processes
def test_a_notice_is_booked_before_it_is_answered_and_repeats_change_nothing(
    database, home, order, tell
):
    payment = order("50")
    said = notice(out_trade_no=payment.out_trade_no)
    assert [tell(said).status_code for _ in range(3)] == [200, 200, 200]
    with database.system() as session:
        assert ledger.balance(session, home.electricity_purse) == Money.yuan("50")


@pytest.mark.processes
def test_notices_that_are_not_to_be_booked_are_refused_and_change_nothing(
    database, home, order, tell, keys, web
):
    payment = order("50")
    said = notice(out_trade_no=payment.out_trade_no)
    assert tell(said, key=keys.merchant).status_code == 401
    assert tell(said, late=timedelta(minutes=6)).status_code == 401
    assert web.post("/api/channels/sandbox/notify", content=b"x" * 20000).status_code == 401
    assert web.post("/api/channels/wechat/notify", content=b"").status_code == 404
    unknown = tell(notice(out_trade_no="W404"))
    assert unknown.status_code == 404
    said_of_it = unknown.json()
    assert (said_of_it["code"], said_of_it["message"]) == ("NoSuchOrder", "There is no order W404.")
    wrong = tell({**said, "amount_fen": 1})
    assert wrong.status_code == 400
    assert "nothing was credited" in wrong.json()["message"]

    with database.system() as session:
        assert ledger.balance(session, home.electricity_purse) == ZERO
        assert session.execute(select(tables.Transfer)).first() is None
        (kept,) = session.execute(select(tables.RefusedNotice)).scalars()
        assert kept.amount_fen == 1
