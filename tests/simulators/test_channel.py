"""The sandbox channel: signed orders, a pay page, and callbacks until they are acknowledged."""

from __future__ import annotations

import base64
import json
import queue
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.channel import BadSettings, Settings, run
from simulators.orders import NewOrder, OrderExpired, Orders
from wattwell.supervise import free_port

pytestmark = pytest.mark.processes

OURS = Ed25519PrivateKey.generate()
THEIRS = Ed25519PrivateKey.generate()
WEB = httpx.Client(trust_env=False, verify=False)
NUMBER = "T2026112120150001"


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Merchant:
    """The other side of the callbacks. `statuses` are answered in turn, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: queue.Queue[tuple[dict[str, str], str]] = field(default_factory=queue.Queue)

    def next(self, within_s: float = 10) -> dict[str, object]:
        """The body of the next callback, its signature verified with the channel's key."""
        headers, body = self.got.get(timeout=within_s)
        signed = f"{headers['sandbox-timestamp']}\n{headers['sandbox-nonce']}\n{body}\n"
        THEIRS.public_key().verify(base64.b64decode(headers["sandbox-signature"]), signed.encode())
        assert abs(time.time() - int(headers["sandbox-timestamp"])) < 60
        notice: dict[str, object] = json.loads(body)
        return notice


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    state = Merchant()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            self.send_response(state.statuses.pop(0) if state.statuses else 200)
            self.end_headers()
            state.got.put(({k.lower(): v for k, v in self.headers.items()}, body))

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}/notify"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


class Channel:
    """The channel as a program."""

    def __init__(self, folder, port: int, merchant: Merchant) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.merchant = merchant
        self.file = folder / "channel.toml"
        (folder / "key").write_text(base64_of(THEIRS.private_bytes_raw()))
        self.file.write_text(
            f'listen = "127.0.0.1:{port}"\npublic_url = "{self.url}"\n'
            'database = "channel.sqlite"\nsigning_key_file = "key"\n'
            "late_s = 1.0\nretry_s = [0.1, 0.2]\n"
            '[merchant]\nname = "wattwell"\ntitle = "翠湖花园物业"\n'
            f'public_key = "{base64_of(OURS.public_key().public_bytes_raw())}"\n'
        )
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulators.channel", str(self.file)],
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                assert WEB.get(f"{self.url}/health").status_code == 200
                return
            except httpx.TransportError:
                assert self.process.poll() is None, self.process.communicate()[1]
                time.sleep(0.05)
        raise AssertionError("the channel does not answer")

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.communicate(timeout=60)
        return self.process.returncode

    def call(
        self, method: str, path: str, content: object = None, **changes: object
    ) -> httpx.Response:
        """A request signed as the merchant; changes put something else in place of what is right."""
        body = "" if content is None else json.dumps(content)
        stamp = str(int(time.time()) + int(str(changes.get("late_by_s", 0))))
        nonce = secrets.token_hex(8)
        key = changes.get("key", OURS)
        assert isinstance(key, Ed25519PrivateKey)
        signature = key.sign(f"{method}\n{path}\n{stamp}\n{nonce}\n{body}\n".encode())
        return WEB.request(
            method,
            self.url + path,
            content=str(changes.get("sent", body)),
            headers={
                "Sandbox-Merchant": str(changes.get("merchant", "wattwell")),
                "Sandbox-Timestamp": stamp,
                "Sandbox-Nonce": nonce,
                "Sandbox-Signature": base64_of(signature),
            },
        )

    def order(self, **changes: object) -> dict[str, object]:
        return {
            "merchant": "wattwell",
            "out_trade_no": NUMBER,
            "amount_fen": 2000,
            "description": "101 电费充值",
            "notify_url": self.merchant.url,
            "return_url": "http://127.0.0.1:9/t/token/topups/1",
        } | changes

    def place(self, out_trade_no: str = NUMBER) -> None:
        reply = self.call("POST", "/v1/orders", self.order(out_trade_no=out_trade_no))
        assert reply.status_code == 200, reply.text

    def pay(self, out_trade_no: str = NUMBER) -> httpx.Response:
        return WEB.post(f"{self.url}/pay/{out_trade_no}")

    def misbehave(self, how: str, out_trade_no: str | None) -> None:
        reply = self.call(
            "PUT", "/v1/misbehaviour", {"misbehaviour": how, "out_trade_no": out_trade_no}
        )
        assert reply.status_code == 204, reply.text


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Channel]:
    channel = Channel(tmp_path_factory.mktemp("channel"), free_port(), Merchant())
    channel.start()
    yield channel
    assert channel.end(signal.SIGTERM) == 0


@pytest.fixture
def channel(shared, merchant) -> Channel:
    """The one channel that runs for all tests here, with this test's merchant."""
    shared.merchant = merchant
    return shared


@pytest.fixture
def number() -> str:
    return f"T{secrets.token_hex(12)}"


def test_an_order_is_placed_paid_and_called_back(channel, merchant, number):
    placed = channel.call("POST", "/v1/orders", channel.order(out_trade_no=number)).json()
    assert placed["pay_url"] == f"{channel.url}/pay/{number}"
    waiting = channel.call("GET", f"/v1/orders/{number}").json()
    assert (waiting["state"], waiting["transaction_id"], waiting["paid_at"]) == (
        "waiting",
        None,
        None,
    )

    back = channel.pay(number)

    assert (back.status_code, back.headers["location"]) == (303, channel.order()["return_url"])
    notice = merchant.next()
    paid = channel.call("GET", f"/v1/orders/{number}").json()
    assert paid["state"] == notice["state"] == "paid"
    for name in ("out_trade_no", "amount_fen", "transaction_id", "paid_at"):
        assert paid[name] == notice[name]
    assert (notice["merchant"], notice["amount_fen"]) == ("wattwell", 2000)
    assert notice.keys() == {
        "event_id", "merchant", "out_trade_no", "transaction_id", "amount_fen", "state", "paid_at",
    }  # fmt: skip


def test_the_same_order_again_has_the_same_answer(channel, number):
    first = channel.call("POST", "/v1/orders", channel.order(out_trade_no=number))
    second = channel.call("POST", "/v1/orders", channel.order(out_trade_no=number))

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()


def test_another_amount_under_the_same_number_is_refused(channel, number):
    channel.place(number)

    reply = channel.call("POST", "/v1/orders", channel.order(out_trade_no=number, amount_fen=2001))

    assert (reply.status_code, reply.json()["code"]) == (409, "ORDER_EXISTS")
    assert "amount_fen" in reply.json()["message"]
    assert channel.call("GET", f"/v1/orders/{number}").json()["amount_fen"] == 2000


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": THEIRS},
        {"sent": '{"amount_fen": 1}'},
        {"late_by_s": -301},
        {"late_by_s": 301},
        {"merchant": "somebody"},
    ],
    ids=["another key", "another body", "too old", "of the future", "another merchant"],
)
def test_a_request_that_is_not_signed_by_the_merchant_is_refused(channel, number, wrong):
    reply = channel.call("POST", "/v1/orders", channel.order(out_trade_no=number), **wrong)

    assert reply.status_code == 401
    assert channel.call("GET", f"/v1/orders/{number}").status_code == 404


def test_a_request_without_any_signature_is_refused(channel):
    assert WEB.get(f"{channel.url}/v1/orders/{NUMBER}").status_code == 401


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_fen": 0},
        {"amount_fen": 20.5},
        {"amount_fen": "2000"},
        {"out_trade_no": "no/slash"},
        {"notify_url": "ftp://x"},
        {"tip": 1},
    ],
)
def test_an_order_of_the_wrong_shape_is_refused_by_name(channel, wrong):
    reply = channel.call("POST", "/v1/orders", channel.order(**wrong))

    assert reply.status_code == 400
    assert next(iter(wrong)) in reply.json()["message"]


def test_a_callback_is_repeated_until_it_is_acknowledged(channel, merchant, number):
    merchant.statuses[:] = [500, 404, 302]
    channel.place(number)

    channel.pay(number)

    notices = [merchant.next() for _ in range(4)]
    assert all(notice == notices[0] for notice in notices)
    with pytest.raises(queue.Empty):
        merchant.next(within_s=0.6)


def test_paying_again_changes_nothing(channel, merchant, number):
    channel.place(number)
    channel.pay(number)
    first = merchant.next()

    again = channel.pay(number)

    assert again.status_code == 303
    assert (
        channel.call("GET", f"/v1/orders/{number}").json()["transaction_id"]
        == (first["transaction_id"])
    )
    with pytest.raises(queue.Empty):
        merchant.next(within_s=0.5)


def test_a_callback_survives_a_killed_channel(tmp_path, merchant):
    channel = Channel(tmp_path, free_port(), merchant)
    merchant.statuses[:] = [503] * 3
    channel.start()
    channel.place()
    channel.pay()
    before = merchant.next()
    channel.end(signal.SIGKILL)
    while not merchant.got.empty():
        merchant.next()

    channel.start()

    assert merchant.next() == before
    assert channel.call("GET", f"/v1/orders/{NUMBER}").json()["state"] == "paid"
    assert channel.end(signal.SIGTERM) == 0


def test_told_to_call_twice_it_sends_the_same_event_twice(channel, merchant, number):
    channel.place(number)
    channel.misbehave("twice", number)

    channel.pay(number)

    assert merchant.next() == merchant.next()


def test_told_to_forge_it_signs_with_another_key(channel, merchant, number):
    channel.place(number)
    channel.misbehave("forged", number)

    channel.pay(number)

    with pytest.raises(InvalidSignature):
        merchant.next()


def test_told_to_alter_it_names_one_fen_more(channel, merchant, number):
    channel.place(number)
    channel.misbehave("altered", number)

    channel.pay(number)

    assert merchant.next()["amount_fen"] == 2001
    assert channel.call("GET", f"/v1/orders/{number}").json()["amount_fen"] == 2000


def test_told_to_be_late_it_calls_later(channel, merchant, number):
    channel.place(number)
    channel.misbehave("late", number)

    channel.pay(number)

    with pytest.raises(queue.Empty):
        merchant.next(within_s=0.7)
    assert merchant.next()["out_trade_no"] == number


def test_told_never_to_call_it_still_answers_when_asked(channel, merchant, number):
    channel.misbehave("never", None)
    try:
        channel.place(number)
        channel.pay(number)
    finally:
        channel.misbehave("none", None)

    with pytest.raises(queue.Empty):
        merchant.next(within_s=0.7)
    assert channel.call("GET", f"/v1/orders/{number}").json()["state"] == "paid"


@pytest.mark.parametrize(
    ("query", "accept", "words"),
    [
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "沙箱支付"),
        ("", "en-GB,en;q=0.9", "Sandbox payment"),
        ("", "fr,en;q=0.5,zh;q=0.6", "沙箱支付"),
        ("", "vi", "沙箱支付"),
        ("?lang=en", "zh-CN", "Sandbox payment"),
    ],
)
def test_the_pay_page_says_that_it_is_a_sandbox_in_the_customers_language(
    channel, number, query, accept, words
):
    channel.place(number)

    page = WEB.get(f"{channel.url}/pay/{number}{query}", headers={"Accept-Language": accept})

    assert page.status_code == 200
    assert f"<strong>{words}</strong>" in page.text
    assert "¥20.00" in page.text
    assert "101 电费充值" in page.text


def test_the_pay_page_of_a_paid_order_cannot_pay_again(channel, number):
    channel.place(number)
    channel.pay(number)

    page = WEB.get(f"{channel.url}/pay/{number}?lang=zh")

    assert "支付成功" in page.text
    assert "<form" not in page.text


def test_an_unknown_order_has_a_page_that_says_so(channel):
    page = WEB.get(f"{channel.url}/pay/nosuchorder", headers={"Accept-Language": "en"})

    assert page.status_code == 404
    assert "There is no such order" in page.text


def test_what_a_merchant_writes_is_text_on_the_pay_page(channel, number):
    channel.call("POST", "/v1/orders", channel.order(out_trade_no=number, description="<b>101</b>"))

    assert "&lt;b&gt;101&lt;/b&gt;" in WEB.get(f"{channel.url}/pay/{number}").text


def test_an_expired_order_cannot_be_paid(tmp_path):
    orders = Orders(tmp_path / "channel.sqlite", open_for_s=60, late_s=0)
    orders.place(NewOrder("wattwell", NUMBER, 2000, "x", "http://n", "http://r"), now=1000.0)

    with pytest.raises(OrderExpired):
        orders.pay(NUMBER, now=1060.0)

    assert orders.find(NUMBER).paid_at is None
    assert orders.owed() == []
    orders.close()


async def test_a_taken_port_ends_the_channel_with_one_sentence(tmp_path, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        status = await run(Settings.load(Channel(tmp_path, port, Merchant()).file))

    assert status == 1
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"port {port} of 127.0.0.1 is taken by another program"
    ]


async def test_books_that_cannot_be_opened_end_the_channel_with_one_sentence(tmp_path, caplog):
    (tmp_path / "channel.sqlite").write_text("these are no books of a payment channel at all")

    status = await run(Settings.load(Channel(tmp_path, free_port(), Merchant()).file))

    assert status == 1
    assert "channel.sqlite cannot be opened" in caplog.text


@pytest.mark.parametrize(
    ("find", "put", "complaint"),
    [
        ("listen", "lisen", "listen"),
        ('signing_key_file = "key"', 'signing_key_file = "nokey"', "signing_key_file"),
        ("public_url", "public_uri", "public_url"),
        ("late_s = 1.0", 'misbehaviour = "rude"', "misbehaviour"),
        ('public_key = "', 'public_key = "A', "public_key"),
    ],
)
def test_wrong_settings_are_refused_by_name(tmp_path, find, put, complaint):
    file = Channel(tmp_path, 1, Merchant()).file
    file.write_text(file.read_text().replace(find, put))

    with pytest.raises(BadSettings, match=complaint) as refused:
        Settings.load(file)

    assert str(file) in str(refused.value)
