"""A gateway's client at a broker, for figures that need one: it says readings and acknowledges what comes down."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import ingest
from prepaid.seal import KeySet
from prepaid.wire.downlog import Credited, read_down
from prepaid.wire.entry import Cursor
from prepaid.wire.envelope import down_topic, up_topic

SOON_S = 20.0


@dataclass(slots=True)
class Gateway:
    """A gateway's MQTT client: says readings in the order of its log, and acknowledges what comes down."""

    gateway_no: str
    log: ingest.Gateway
    keys: KeySet
    client: mqtt.Client
    down: Cursor | None = None
    acked: int = -1  # of its own log; -1 before the cloud has said anything
    arrived: dict[str, float] = field(default_factory=dict)  # by the transfer's cause, when
    lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, payload: bytes) -> None:
        at = time.perf_counter()
        envelope = self.keys.unseal(payload, gateway_no=self.gateway_no)
        for entry in envelope.entries:
            if self.down is not None and entry.seq != self.down.seq + 1:
                continue
            self.down = Cursor(entry.log, entry.seq)
            message = read_down(entry.body)
            if isinstance(message, Credited):
                self.arrived[message.transfer.cause] = at
        if envelope.cursor is not None:
            self.acked = max(self.acked, envelope.cursor.seq)
        if envelope.entries:
            self.say(0)

    @property
    def is_ready(self) -> bool:
        """Whether all that it has said is applied: a gateway has one batch under way at a time."""
        return self.acked == self.log.seq

    def say(self, readings: int) -> None:
        """So many readings and its cursor in the cloud's log; of no readings, the cursor alone."""
        with self.lock:
            payload = self.log.message(readings, cursor=self.down)
        self.client.publish(up_topic(self.gateway_no), payload, qos=1)


@contextmanager
def connected(
    gateway_no: str, points: tuple[UUID, ...], *, password: str, port: int, keys: KeySet
) -> Iterator[Gateway]:
    """A gateway that is subscribed to its topic, until the block ends."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.username_pw_set(gateway_no, password)
    gateway = Gateway(gateway_no, ingest.Gateway(points), keys, client)
    subscribed = threading.Event()
    topic = down_topic(gateway_no)
    client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda client, data, message: gateway.hear(message.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert subscribed.wait(SOON_S), "the broker does not answer"
        yield gateway
    finally:
        client.disconnect()
        client.loop_stop()
