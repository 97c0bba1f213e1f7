"""Between gateways and cloud: messages are lost, doubled and overtaken, and links are up now and then."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable


class Link:
    """The link of one machine (edge.uplink.sync.Link)."""

    def __init__(self, network: Network, gateway_no: str) -> None:
        self.is_up = False
        self.is_dark = True
        self.changed: Callable[[], None] = lambda: None
        self.deliver: Callable[[bytes], None] = lambda payload: None
        self.on_word: Callable[[], None] = lambda: None
        self.after_word: Callable[[], None] = lambda: None
        self._network = network
        self._gateway_no = gateway_no

    def publish(self, payload: bytes) -> None:
        if self.is_up and not self.is_dark:
            self.on_word()
            self._network.up(self._gateway_no, payload)
            self.after_word()

    def set(self, *, is_up: bool) -> None:
        if is_up != self.is_up:
            self.is_up = is_up
            if not self.is_dark:
                self.changed()


class Network:
    """The broker. receive is the cloud's; loss and doubling are from 0 to 1, slow_s the longest that one takes."""

    def __init__(self, dice: random.Random, receive: Callable[[str, bytes], None]) -> None:
        self._dice = dice
        self._receive = receive
        self.loss: dict[str, float] = {}
        self.doubling: dict[str, float] = {}
        self.slow_s: dict[str, float] = {}
        self.links: dict[str, list[Link]] = {}

    def link(self, gateway_no: str) -> Link:
        link = Link(self, gateway_no)
        self.links.setdefault(gateway_no, []).append(link)
        return link

    def clear(self, gateway_no: str) -> None:
        """From now on nothing is lost, doubled or late."""
        self.loss[gateway_no] = self.doubling[gateway_no] = 0.0
        self.slow_s[gateway_no] = 0.1

    def up(self, gateway_no: str, payload: bytes) -> None:
        self._carry(gateway_no, lambda: self._receive(gateway_no, payload))

    def down(self, gateway_no: str, payload: bytes) -> None:
        self._carry(gateway_no, lambda: self._hear(gateway_no, payload))

    def _hear(self, gateway_no: str, payload: bytes) -> None:
        for link in self.links.get(gateway_no, []):
            if link.is_up and not link.is_dark:
                link.deliver(payload)

    def _carry(self, gateway_no: str, arrive: Callable[[], None]) -> None:
        if self._dice.random() < self.loss.get(gateway_no, 0.0):
            return
        times = 2 if self._dice.random() < self.doubling.get(gateway_no, 0.0) else 1
        for _ in range(times):
            delay_s = self._dice.uniform(0.02, self.slow_s.get(gateway_no, 0.1))
            asyncio.get_running_loop().call_later(delay_s, arrive)
