"""MQTT to the broker: paho's thread on one side, the event loop on the other."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.uplink.access import Access, tls_context
from prepaid.wire.envelope import down_topic, up_topic

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 1, 30
KEEPALIVE_S = 30
GONE = "is gone"


class Ears(Protocol):
    """Who is told of the link, in the event loop."""

    def link_changed(self) -> None: ...

    def deliver(self, payload: bytes) -> None: ...


class MqttLink:
    """A link that keeps trying: a broker that is away or refuses is said once when that begins and once
    when it ends."""

    def __init__(self, access: Access, *, gateway_no: str, now: Callable[[], datetime]) -> None:
        self.is_up = False
        self.is_refused = False  # the broker does not know us, or not by this password
        self._gateway_no = gateway_no
        self._now = now
        self._trouble: str | None = None
        self._connect(access)

    def _connect(self, access: Access) -> None:
        """A client for this access, which begins once it is started. Raises BadCertificate."""
        self._broker = " or ".join(map(str, access.brokers))
        self._next = itertools.cycle(access.brokers)
        # A broker puts off whoever has the same client id: one that can be guessed is a way to do so.
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{self._gateway_no}-{secrets.token_hex(8)}",
            clean_session=True,
            protocol=mqtt.MQTTv311,
        )
        client.username_pw_set(access.user, access.password)
        if access.is_tls:
            client.tls_set_context(tls_context(access.ca, now=self._now()))
        client.reconnect_delay_set(FIRST_RETRY_S, LAST_RETRY_S)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        self._aim(client)

    def _aim(self, client: mqtt.Client) -> None:
        """The next address of the broker, if there are several, is where it connects."""
        broker = next(self._next)
        client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_S)

    def start(self, ears: Ears) -> None:
        self._ears = ears
        self._loop = asyncio.get_running_loop()
        self._client.loop_start()

    async def use(self, access: Access) -> None:
        """Goes on with another password, or at another place."""
        await self.stop()
        if self.is_up:
            self.is_up = False
            self._ears.link_changed()
        self.is_refused = False
        self._connect(access)
        self._client.loop_start()

    async def stop(self) -> None:
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def publish(self, payload: bytes) -> None:
        """QoS 1; what the broker does not get is sent again by sequence, not by MQTT."""
        sent = self._client.publish(up_topic(self._gateway_no), payload, qos=1)
        if sent.rc not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN):
            log.warning("the broker at %s did not take a message: %s", self._broker, sent.rc)

    # In paho's thread: nothing but handing over.

    def _on_connect(
        self, client: mqtt.Client, data: Any, flags: Any, reason: ReasonCode, props: Any
    ) -> None:
        if reason.is_failure:
            said = f"refuses gateway {self._gateway_no}: {reason}; {_remedy(reason)}"
            self._hand(client, self._troubled, said, _is_refusal(reason))
        else:
            client.subscribe(down_topic(self._gateway_no), qos=1)

    def _on_subscribe(
        self, client: mqtt.Client, data: Any, mid: int, reasons: list[ReasonCode], props: Any
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            topic = down_topic(self._gateway_no)
            self._hand(
                client,
                self._troubled,
                f"does not let gateway {self._gateway_no} listen to {topic}; enter it in the cloud",
            )
        else:
            self._hand(client, self._up)

    def _on_connect_fail(self, client: mqtt.Client, data: Any) -> None:
        self._hand(client, self._troubled, "cannot be reached")
        self._aim(client)

    def _on_disconnect(
        self,
        client: mqtt.Client,
        data: Any,
        flags: Any,
        reason: ReasonCode,
        props: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._hand(client, self._troubled, f"{GONE} ({reason})")

    def _on_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self._hand(client, self._ears.deliver, message.payload)

    def _hand(self, client: mqtt.Client, call: Callable[..., None], *arguments: object) -> None:
        if client is self._client and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    # In the event loop.

    def _up(self) -> None:
        if self._trouble is None:
            log.info("connected to the broker at %s", self._broker)
        else:
            log.info("connected to the broker at %s again", self._broker)
        self._trouble = None
        self.is_refused = False
        self.is_up = True
        self._ears.link_changed()

    def _troubled(self, what: str, is_refused: bool = False) -> None:
        self.is_refused = self.is_refused or is_refused
        # A refusal is followed by the end of the connection; the word before it is the one that helps.
        if what != self._trouble and not (self._trouble and what.startswith(GONE)):
            log.warning(
                "the broker at %s %s; metering goes on, the cloud is told later",
                self._broker,
                what,
            )
            self._trouble = what
        if self.is_up:
            self.is_up = False
            self._ears.link_changed()


def _is_refusal(reason: ReasonCode) -> bool:
    return str(reason) in ("Not authorized", "Bad user name or password")


def _remedy(reason: ReasonCode) -> str:
    if _is_refusal(reason):
        return "check its number and password, or whether it was revoked"
    return "check the broker"
