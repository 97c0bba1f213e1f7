"""Credentials that renew themselves, well before they run out; and new ones that a person brought are taken up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from edge.settings import Settings, load
from edge.settings_file import BadSettings
from edge.uplink import credentials as files
from edge.uplink import enrol
from edge.uplink.access import Access, BadCertificate, tls_context
from edge.uplink.cloud_http import Post, Refused, Unreachable, posting
from edge.uplink.credentials import BadCredentials, Credentials
from edge.uplink.enrol import CannotEnrol, NoMore
from prepaid.seal import KeySet

log = logging.getLogger(__name__)

LOOK_S = 5.0
REFUSED_S = 20.0
FIRST_RETRY_S, LAST_RETRY_S = 60.0, 6 * 3600.0
LEAST_S = 24 * 3600.0  # between two renewals, should our clock be years ahead of the cloud's
NEVER = float("inf")
REPLACED = "Replaced"
"""The cloud's name for a refusal by which the lines are another machine's."""


class BrokerLink(Protocol):
    """edge.uplink.link.MqttLink."""

    is_up: bool
    is_refused: bool

    async def use(self, access: Access) -> None: ...


class Trusting(Protocol):
    """edge.uplink.sync.Sync."""

    def trust(self, keys: KeySet, *, credential: int | None) -> None: ...

    def give_way(self, why: str) -> None: ...


class Renewal:
    """Keeps the credentials of a running gateway good.

    They are renewed when two thirds of their time are over, or when the broker does not take them. The renewed
    are written down, and the cloud is told that they are in use, once the broker has taken them; if it does
    not, as nobody told it of them, the old ones serve on. Where another machine has been enrolled in our place the
    lines are left to it: it hears of payments, and we do not; a refusal that the cloud has not signed changes
    nothing. open_post is how the cloud is reached, and in_thread
    where what it blocks is run.
    """

    def __init__(
        self,
        config: Path,
        settings: Settings,
        link: BrokerLink,
        sync: Trusting,
        *,
        now: Callable[[], datetime],
        open_post: Callable[[Credentials], Post] | None = None,
        in_thread: Callable[..., Awaitable[Credentials]] = asyncio.to_thread,
    ) -> None:
        self._config = config
        self._settings = settings
        self._link = link
        self._sync = sync
        self._now = now
        self._open_post = open_post or _post_to
        self._in_thread = in_thread
        self._seen = self._stamp()
        self._tried: Credentials | None = None  # renewed, and not yet taken by the broker
        self._retry_s = FIRST_RETRY_S
        self._next = float("-inf")  # not tried again before, on the loop's clock
        self._rests_until = float("-inf")  # not renewed before, unless the broker refuses us
        self._trouble: str | None = None
        self._refused_since: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Takes up credentials that a person brought, and renews those in use if it is time."""
        is_refused = self._is_refused()
        if self._stamp() != self._seen:
            return await self._take_up()
        if self._tried is not None:
            return await self._try(self._tried, is_refused)
        current = self._settings.credentials
        now = asyncio.get_running_loop().time()
        if current is not None and now >= self._next:
            is_due = now >= self._rests_until and self._now() >= current.renew_at
            if is_due or is_refused:
                await self._renew(current)
        return None

    async def _renew(self, current: Credentials) -> None:
        try:
            post = self._open_post(current)
            folder = self._config.parent
            renewed = await self._in_thread(enrol.renew, folder, current, post=post)
        except NoMore as error:
            self._next = NEVER  # until a person has brought others
            if error.code == REPLACED:
                self._sync.give_way(str(error))
            else:
                log.error("%s Metering goes on; nothing reaches the cloud", error)
        except (
            Refused,
            Unreachable,
            CannotEnrol,
            BadCredentials,
            BadCertificate,
            OSError,
        ) as error:
            self._put_off(str(error))
        else:
            self._tried = renewed
            await self._link.use(self._access(renewed))

    def _is_refused(self) -> bool:
        """Whether the broker has not let us in for a while: it may hear of our credentials later than we."""
        now = asyncio.get_running_loop().time()
        if not self._link.is_refused:
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        return self._refused_since is not None and now - self._refused_since >= REFUSED_S

    async def _try(self, renewed: Credentials, is_refused: bool) -> None:
        """Keeps the renewed credentials once the broker has taken them; goes back if it refuses them."""
        if is_refused:
            self._tried = None
            await self._link.use(self._settings.access)
            return self._put_off(f"the broker does not know those renewed, number {renewed.number}")
        if not self._link.is_up:
            return None
        try:
            renewed = self._with_newest_keys(renewed)
            files.write(self._config.parent, renewed)
        except (OSError, BadCredentials) as error:
            self._tried = None
            await self._link.use(self._settings.access)
            return self._put_off(f"they cannot be written: {error}")
        self._tried = None
        self._seen = self._stamp()
        self._settings = self._with(renewed)
        self._sync.trust(self._settings.cloud_keys, credential=renewed.number)
        log.info(
            "the credentials are renewed: number %s, good until %s",
            *(renewed.number, renewed.expires_at),
        )
        self._trouble = None
        self._retry_s = FIRST_RETRY_S
        self._rests_until = asyncio.get_running_loop().time() + LEAST_S
        return None

    def _with(self, renewed: Credentials) -> Settings:
        """The settings with renewed credentials. A gateway.toml that somebody has spoilt since ends no gateway that
        serves."""
        try:
            return load(self._config, os.environ)
        except BadSettings as error:
            log.error("%s; this gateway goes on, and would not start again", error)
            return replace(
                self._settings,
                access=self._access(renewed),
                cloud_keys=renewed.keys,
                credentials=renewed,
            )

    def _with_newest_keys(self, renewed: Credentials) -> Credentials:
        """With keys that the cloud named since. Raises BadCredentials."""
        kept = files.read(self._config.parent)
        if kept is None or kept.keys_number <= renewed.keys_number:
            return renewed
        return replace(renewed, cloud_keys=kept.cloud_keys, keys_number=kept.keys_number)

    def _put_off(self, why: str) -> None:
        """Tried again later; said once until it is done."""
        assert self._settings.credentials is not None
        if self._trouble is None:
            log.warning(
                "the credentials, good until %s, are not renewed yet: %s; it is tried again",
                *(self._settings.credentials.expires_at, why),
            )
        self._trouble = why
        self._next = asyncio.get_running_loop().time() + self._retry_s
        self._retry_s = min(2 * self._retry_s, LAST_RETRY_S)

    async def _take_up(self) -> None:
        """What a person put in the file's place is used from now on. What cannot be read is left, and said."""
        self._seen = self._stamp()
        try:
            settings = load(self._config, os.environ)
        except BadSettings as error:
            log.error("%s; the credentials in use stay in use", error)
            return
        before, self._settings = self._settings, settings
        if settings.access == before.access:  # other keys of the cloud, at most
            self._sync.trust(settings.cloud_keys, credential=settings.credential)
            return
        self._tried = None
        self._next, self._retry_s, self._trouble = float("-inf"), FIRST_RETRY_S, None
        log.info("credentials number %s are used from now on", settings.credential)
        await self._link.use(settings.access)
        self._sync.trust(settings.cloud_keys, credential=settings.credential)

    def _access(self, renewed: Credentials) -> Access:
        """By the renewed credentials, at the place that gateway.toml names if it does."""
        current = self._settings.access
        assert self._settings.credentials is not None
        is_named = current.brokers != self._settings.credentials.access.brokers
        return Access(
            current.brokers if is_named else renewed.access.brokers,
            renewed.user,
            renewed.password,
            current.ca if is_named else renewed.broker_ca,
        )

    def _stamp(self) -> tuple[int, int] | None:
        """Tells one file from another that was put in its place."""
        try:
            found = (self._config.parent / files.CREDENTIALS).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


def _post_to(credentials: Credentials) -> Post:
    # Certificates are looked at by the machine's clock, whatever we know of the time.
    context = tls_context(credentials.https_ca, now=datetime.now(UTC))
    return posting(credentials.cloud_url, context)
