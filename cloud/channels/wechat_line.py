"""What is said to WeChat Pay and back, signed and verified: wechatpayv3's core, at an address of our choice."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping

from wechatpayv3.core import Core
from wechatpayv3.type import RequestType

from cloud.channels import ChannelAway

TIMEOUT_S = (2, 5)  # to connect, to answer
SIGNED_BY = "WECHATPAY2-SHA256-RSA2048"
CERTIFICATES_PAUSE_S = 60.0  # the least time between two fetches of platform certificates,
FAILED_PAUSE_S = 5.0  # and after one that failed

_SERIAL = re.compile(r"[0-9A-Fa-f]{1,64}")


class Unsigned(Exception):
    """Not signed by WeChat Pay."""


class Line(Core):  # type: ignore[misc]
    """WeChat Pay's API at url: each request signed by the merchant, each answer verified.

    With public_key and public_key_id (PUB_KEY_ID_…) answers are verified by WeChat Pay's public key; without,
    by platform certificates, fetched when first needed and again when an unknown one is named.
    """

    def __init__(
        self,
        *,
        url: str,
        mchid: str,
        key_serial: str,
        private_key: str,
        v3_key: str,
        public_key: str | None,
        public_key_id: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._fetching = threading.Lock()
        self._fetch_after = clock()
        super().__init__(
            mchid=mchid,
            cert_serial_no=key_serial,
            private_key=private_key,
            apiv3_key=v3_key,
            timeout=TIMEOUT_S,
            public_key=public_key,
            public_key_id=public_key_id,
        )
        self._gate_way = url

    def ask(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> tuple[int, str]:
        """Status and body of the answer. Raises ChannelAway: none came, or one that is not WeChat Pay's."""
        try:
            status, text = self.request(path, method=RequestType[method], data=body)
        except OSError as error:  # what requests raises
            raise ChannelAway from error
        except Unsigned as error:
            raise ChannelAway from error
        return status, text if isinstance(text, str) else text.decode(errors="replace")

    def fetch(self, url: str) -> tuple[int, bytes]:
        """Status and body of a file at the same address, which WeChat Pay does not sign. Raises ChannelAway."""
        if not url.startswith(f"{self._gate_way}/"):
            raise ChannelAway
        try:
            status, body = self.request(url.removeprefix(self._gate_way), skip_verify=True)
        except OSError as error:
            raise ChannelAway from error
        return status, body.encode() if isinstance(body, str) else body

    def opened(self, headers: Mapping[str, str], body: bytes) -> str:
        """What a notice's sealed part says. Raises Unsigned, or ChannelAway if its certificate cannot be had."""
        try:
            said = self.decrypt_callback(headers, body.decode())
        except OSError as error:
            raise ChannelAway from error
        except (ValueError, AttributeError) as error:  # not UTF-8, not JSON, not base64
            raise Unsigned("what is sealed in it cannot be read") from error
        if not isinstance(said, str):
            raise Unsigned("it is not sealed with our key")
        return said

    def _verify_signature(self, headers: Mapping[str, str], body: str) -> bool:
        """Raises Unsigned rather than giving False, also for headers that the SDK would stumble over."""
        named = {name.lower(): value for name, value in headers.items()}
        serial = named.get("wechatpay-serial", "")
        if named.setdefault("wechatpay-signature-type", SIGNED_BY) != SIGNED_BY:
            raise Unsigned("it is signed in a way that we do not know")
        if serial != self._public_key_id and not _SERIAL.fullmatch(serial):
            raise Unsigned("it names no certificate")
        if not named.get("wechatpay-signature") or not super()._verify_signature(named, body):
            raise Unsigned("it is not signed by WeChat Pay")
        return True

    def _init_certificates(self) -> None:
        """Not at the start: our program also starts while WeChat Pay is away."""

    def _update_certificates(self) -> None:
        """One at a time and not at the rate of forged notices; what we have stays until there is better."""
        with self._fetching:
            if self._clock() < self._fetch_after:
                return
            known = list(self._certificates)
            try:
                super()._update_certificates()
            finally:
                pause_s = CERTIFICATES_PAUSE_S if self._certificates else FAILED_PAUSE_S
                self._fetch_after = self._clock() + pause_s
                if not self._certificates:
                    self._certificates.extend(known)
