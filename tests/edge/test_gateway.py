"""The program itself, as a process, with a real broker; and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import bcrypt
import nats
import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paho.mqtt.enums import CallbackAPIVersion

from edge.ledger.onlooker import read_balances
from edge.ledger.store import Store
from prepaid.money import Money
from prepaid.seal import seal
from prepaid.wire.downlog import Credited, write_down
from prepaid.wire.entry import Cursor, Entry, sign
from prepaid.wire.envelope import Envelope, unpack
from tests.edge.simulated import ELECTRICITY, POWER_TARIFF, PURSE, top_up, until
from wattwell.broker import Broker

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

SOON_S = 60.0  # for a program to start and say something, on a machine with other work
PASSWORD = "correct horse"
KEY = Ed25519PrivateKey.generate()


class Program:
    """`python -m edge` in a folder of its own; what it says goes to a file."""

    def __init__(self, folder: Path, *, broker_port: int, password: str, port: str) -> None:
        key = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
        self.config = folder / "gateway.toml"
        self.config.write_text(
            f'gateway_no = "GW-0001"\npoll_s = 1\n[cloud]\nbroker = "127.0.0.1:{broker_port}"\n'
            f'key = "{key}"\nresend_s = 0.5\n[[line]]\nname = "L1"\nport = "{port}"\n'
        )
        self._log = folder / "gateway.log"
        self._password = password
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "edge", str(self.config)],
                stderr=log,
                env={**os.environ, "WATTWELL_GATEWAY_PASSWORD": self._password},
            )
        self._processes.append(process)
        return process

    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def program(tmp_path: Path, broker: Broker) -> Iterator[Program]:
    """Its serial device is missing; its broker knows it."""
    known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    broker.set_users({"GW-0001": known})
    device = f"serial:{tmp_path}/ttyUSB9,2400,8E1"
    program = Program(tmp_path, broker_port=broker.mqtt_port, password=PASSWORD, port=device)
    yield program
    program.stop()


async def test_a_credit_comes_down_is_booked_once_and_acknowledged(
    program: Program, broker: Broker
):
    cloud = await nats.connect(broker.nats_url)
    heard: list[Envelope] = []

    async def hear(message: nats.aio.msg.Msg) -> None:
        heard.append(unpack(message.data))

    await cloud.subscribe("wattwell.GW-0001.up", cb=hear)
    log = uuid4()
    entry = sign(Entry(log, 1, write_down(Credited(top_up("20.00")))), KEY)
    process = program.start()
    await until(lambda: bool(heard), within_s=SOON_S)

    for _ in range(2):
        await cloud.publish(
            "wattwell.GW-0001.down", seal(Envelope((entry,)), KEY, gateway_no="GW-0001")
        )
    await until(lambda: heard[-1].cursor == Cursor(log, 1), within_s=SOON_S)

    assert read_balances(program.config.with_name("ledger.sqlite")) == {PURSE: Money.yuan("20.00")}
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, SOON_S) == 0
    await cloud.close()


async def test_another_gateway_cannot_put_it_off_by_taking_its_number_for_a_client_id(
    program: Program, broker: Broker
):
    known = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    broker.set_users({"GW-0001": known, "GW-0002": known})
    program.start()
    await until(lambda: "connected to the broker" in program.said(), within_s=SOON_S)

    heard: list[str] = []
    other = mqtt.Client(CallbackAPIVersion.VERSION2, "GW-0001", protocol=mqtt.MQTTv311)
    other.username_pw_set("GW-0002", PASSWORD)
    other.on_connect = lambda client, *_: client.subscribe("wattwell/GW-0002/down", 1)
    other.on_subscribe = lambda *_: heard.append("subscribed")
    other.connect("127.0.0.1", broker.mqtt_port)
    other.loop_start()
    await until(lambda: bool(heard), within_s=SOON_S)
    other.disconnect()
    other.loop_stop()
    # What the program would have said comes before its answer to this.
    cloud = await nats.connect(broker.nats_url)
    answers: list[Envelope] = []

    async def hear(message: nats.aio.msg.Msg) -> None:
        answers.append(unpack(message.data))

    await cloud.subscribe("wattwell.GW-0001.up", cb=hear)
    log = uuid4()
    entry = sign(Entry(log, 1, write_down(Credited(top_up("20.00")))), KEY)
    await cloud.publish(
        "wattwell.GW-0001.down", seal(Envelope((entry,)), KEY, gateway_no="GW-0001")
    )
    await until(lambda: bool(answers) and answers[-1].cursor == Cursor(log, 1), within_s=SOON_S)

    assert "is gone" not in program.said()
    await cloud.close()


async def test_killed_while_credits_come_it_goes_on_where_its_cursor_is(
    program: Program, broker: Broker
):
    cloud = await nats.connect(broker.nats_url)
    cursor = 0

    async def hear(message: nats.aio.msg.Msg) -> None:
        nonlocal cursor
        envelope = unpack(message.data)
        cursor = max(cursor, envelope.cursor.seq if envelope.cursor else 0)

    await cloud.subscribe("wattwell.GW-0001.up", cb=hear)
    log = uuid4()
    credits = [
        sign(Entry(log, n, write_down(Credited(top_up("1.00", cause=f"sandbox:{n}")))), KEY)
        for n in range(1, 31)
    ]

    async def send_what_is_missing() -> None:
        while cursor < len(credits):
            entries = tuple(credits[cursor : cursor + 3])
            payload = seal(Envelope(entries), KEY, gateway_no="GW-0001")
            await cloud.publish("wattwell.GW-0001.down", payload)
            await asyncio.sleep(0.05)

    sending = asyncio.create_task(send_what_is_missing())
    for until_cursor in (4, 11, 23):
        process = program.start()
        await until(lambda reached=until_cursor: cursor >= reached, within_s=SOON_S)
        process.kill()
        await asyncio.to_thread(process.wait)
    program.start()
    await asyncio.wait_for(sending, SOON_S)

    assert read_balances(program.config.with_name("ledger.sqlite")) == {PURSE: Money.yuan("30.00")}
    await cloud.close()


async def test_a_missing_serial_device_is_said_once_and_the_program_goes_on(
    program: Program,
):
    store = Store(program.config.with_name("ledger.sqlite"), "GW-0001")
    with store.transaction():
        store.save_tariff(POWER_TARIFF)
        store.save_point(ELECTRICITY)
    store.close()

    process = program.start()
    await until(lambda: "connected to the broker" in program.said(), within_s=SOON_S)
    await until(lambda: "silent" in program.said(), within_s=SOON_S)

    assert process.poll() is None
    assert program.said().count("its meters wait") == 1
    assert "ttyUSB9 cannot be opened: No such file or directory" in program.said()


async def test_a_second_gateway_on_one_ledger_is_refused_with_a_sentence(program: Program):
    program.start()
    await until(lambda: "connected to the broker" in program.said(), within_s=SOON_S)

    second = program.start()

    assert await asyncio.to_thread(second.wait, 20) == 1
    assert "is in use by another gateway program" in program.said()
    assert "Traceback" not in program.said()


async def test_a_wrong_password_is_said_once_and_metering_goes_on(
    tmp_path: Path, program: Program, broker: Broker
):
    wrong = Program(
        tmp_path, broker_port=broker.mqtt_port, password="wrong", port="tcp:127.0.0.1:9"
    )
    process = wrong.start()

    await until(lambda: "refuses gateway GW-0001" in wrong.said(), within_s=SOON_S)
    refusals = broker.folder / "broker.log"
    await until(lambda: refusals.read_text().count("authentication error") >= 3, within_s=SOON_S)

    assert process.poll() is None
    assert wrong.said().count("metering goes on") == 1
    assert "check its number and password" in wrong.said()
    wrong.stop()


async def test_a_broker_that_goes_and_comes_back_is_said_once_each(
    program: Program, broker: Broker
):
    process = program.start()
    await until(lambda: "connected to the broker" in program.said(), within_s=SOON_S)

    broker.stop()
    await until(lambda: "is gone" in program.said(), within_s=SOON_S)
    broker.restart()
    await until(lambda: program.said().count("connected to the broker") == 2, within_s=SOON_S)

    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, SOON_S) == 0


def test_a_wrong_setting_ends_the_program_with_its_line(program: Program):
    program.config.write_text(program.config.read_text().replace("poll_s = 1", "poll_s = 0"))

    process = program.start()

    assert process.wait(SOON_S) == 2
    assert "gateway.toml, line 2: poll_s: Input should be greater" in program.said()
    assert "Traceback" not in program.said()
