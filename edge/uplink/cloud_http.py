"""The few things that a gateway asks the cloud's web program: to be enrolled, and for new credentials."""

from __future__ import annotations

import http.client
import ipaddress
import json
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

TIMEOUT_S = 20.0
LONGEST = 64 * 1024

Post = Callable[[str, Mapping[str, object]], bytes]
"""Posts a JSON object to a path of the cloud: the body of its answer. Raises Unreachable or Refused."""


class Unreachable(Exception):
    """The cloud does not answer, or not as a cloud does. Try again later; a sentence for a person."""


class Refused(Exception):
    """Who answers said no, and why. code is the error's name, proof what shows that the cloud said so, if anything.

    Without a proof (prepaid.enrolment.open_refusal) it may come from whoever is on the way.
    """

    def __init__(self, code: str, sentence: str, *, proof: str | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.proof = proof


def check_address(url: str, *, is_plain_allowed: bool) -> str:
    """The address without a slash at its end. Raises ValueError, with a sentence, if it cannot be used.

    http without TLS leads to this machine or a private network only, and only where it is allowed.
    """
    parts = urlsplit(url)
    try:
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.query
        or not port_is_right
    ):
        raise ValueError(f"{url} is not an address like https://wattwell.example.com")
    if parts.scheme == "http":
        if not is_plain_allowed:
            raise ValueError(
                f"{url} is not private: who listens on the way reads the password. Use https, or say --plain-http on "
                "a network of your own"
            )
        if not _is_private(parts.hostname):
            raise ValueError(
                f"{url}: http is for this machine and private networks; {parts.hostname} needs https"
            )
    return url.rstrip("/")


def _is_private(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def posting(url: str, context: ssl.SSLContext) -> Post:
    """Posts to this cloud. context is for https."""
    parts = urlsplit(url)
    assert parts.hostname is not None

    def post(path: str, body: Mapping[str, object]) -> bytes:
        assert parts.hostname is not None
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=TIMEOUT_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        try:
            connection.request(
                "POST",
                parts.path + path,
                json.dumps(body).encode(),
                {"content-type": "application/json"},
            )
            answer = connection.getresponse()
            said = answer.read(LONGEST + 1)
        except ssl.SSLCertVerificationError as error:
            raise Unreachable(
                f"{url}: its certificate is not believed ({error.verify_message}). If it is of your own authority, "
                "name that with --ca-file; if this machine's clock is wrong, set it"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(
                f"{url} does not answer: {_reason(error)}. Look whether the address is right, and whether this "
                "machine reaches it; then try again"
            ) from error
        finally:
            connection.close()
        return checked(url, answer.status, said)

    return post


def _reason(error: OSError | http.client.HTTPException) -> str:
    if isinstance(error, TimeoutError):
        return f"nothing came within {TIMEOUT_S:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def checked(url: str, status: int, said: bytes) -> bytes:
    """The body of an answer that is one. Raises Unreachable or Refused."""
    if status == 200 and len(said) <= LONGEST:
        return said
    try:
        refusal = json.loads(said)
        code, sentence = str(refusal["code"]), str(refusal["message"])
        proof = refusal.get("proof")
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"{url} answers {status}, which is no answer of Wattwell") from None
    if status >= 500 or status == 429:
        raise Unreachable(f"{url}: {sentence}")
    raise Refused(code, sentence, proof=proof if isinstance(proof, str) else None)
