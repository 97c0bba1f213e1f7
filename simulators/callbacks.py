"""Delivers the sandbox channel's callbacks: signed, again and again until they are acknowledged."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import sqlite3
import time
from collections.abc import Sequence

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from simulators.orders import Callback, Orders

log = logging.getLogger(__name__)

ANSWER_WITHIN_S = 5.0
LADDER_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)


def signature(key: Ed25519PrivateKey, *, timestamp: str, nonce: str, body: str) -> str:
    """Base64 of Ed25519 over the three parts, each ended by a line feed."""
    return base64.b64encode(key.sign(f"{timestamp}\n{nonce}\n{body}\n".encode())).decode()


class Deliverer:
    """Sends what is owed. ladder_s are the waits after each failure; the last one repeats."""

    def __init__(self, orders: Orders, key: Ed25519PrivateKey, ladder_s: Sequence[float]) -> None:
        self._orders = orders
        self._key = key
        self._forgers_key = Ed25519PrivateKey.generate()
        self._ladder_s = tuple(ladder_s)
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._more = asyncio.Event()

    def wake(self) -> None:
        """There is a new callback."""
        self._more.set()

    async def run(self) -> None:
        """Until cancelled; what is then under way is sent again at the next start."""
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S, trust_env=False) as client:
            try:
                while True:
                    self._more.clear()
                    wait_s = self._start_due(client)
                    try:
                        await asyncio.wait_for(self._more.wait(), wait_s)
                    except TimeoutError:
                        continue  # the next one is due
            finally:
                for task in self._under_way.values():
                    task.cancel()

    def _start_due(self, client: httpx.AsyncClient) -> float | None:
        """Starts what is due; the seconds until another is, None if nothing waits."""
        now = time.time()
        for callback in self._orders.owed():
            if callback.id in self._under_way:
                continue
            if callback.due_at > now:
                return callback.due_at - now
            self._under_way[callback.id] = asyncio.create_task(self._deliver(client, callback))
        return None

    async def _deliver(self, client: httpx.AsyncClient, callback: Callback) -> None:
        try:
            result = await self._post(client, callback)
            if result is None:
                self._orders.acknowledge(callback, time.time())
                log.info("payment of %s was acknowledged", callback.out_trade_no)
                return
            wait_s = self._ladder_s[min(callback.attempts, len(self._ladder_s) - 1)]
            self._orders.postpone(callback, time.time() + wait_s)
            if callback.attempts == 0:
                log.warning(
                    "payment of %s was not acknowledged (%s); asking again until it is",
                    callback.out_trade_no,
                    result,
                )
        except sqlite3.Error as error:
            log.error("the books of the sandbox channel cannot be written: %s", error)
            await asyncio.sleep(self._ladder_s[-1])
        finally:
            del self._under_way[callback.id]
            self.wake()

    async def _post(self, client: httpx.AsyncClient, callback: Callback) -> str | None:
        """None if it was acknowledged, else what came instead."""
        timestamp, nonce = str(int(time.time())), secrets.token_hex(16)
        key = self._forgers_key if callback.is_forged else self._key
        headers = {
            "Content-Type": "application/json",
            "Sandbox-Timestamp": timestamp,
            "Sandbox-Nonce": nonce,
            "Sandbox-Signature": signature(
                key, timestamp=timestamp, nonce=nonce, body=callback.body
            ),
        }
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reply = await client.post(
                    callback.notify_url, content=callback.body.encode(), headers=headers
                )
        except (httpx.HTTPError, TimeoutError) as error:
            return type(error).__name__
        return None if reply.is_success else f"status {reply.status_code}"
