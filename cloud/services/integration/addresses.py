"""Where a webhook may go: to public addresses over https, and into a site's own networks where the settings say so.

Whoever may enter an address would else make us ask what only we can reach: databases, the broker, a cloud's
own services (server-side request forgery). So the name is resolved here, and the connection goes to what was
checked and not to what the name may mean a moment later.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from cloud.errors import CloudError
from cloud.settings import Network

LONGEST_URL = 500


Address = IPv4Address | IPv6Address


class BadUrl(CloudError):
    status = 422
    sentence = (
        "The address must be like https://example.com/wattwell, without a user name, and of at most"
        " {most} characters."
    )
    field = "url"


class NotReachable(CloudError):
    """The name has no address just now, or one to which nothing is sent. is_forbidden tells which."""

    status = 422
    sentence = "There is no address of the name {host} just now."
    field = "url"
    is_forbidden = False


class Forbidden(NotReachable):
    sentence = (
        "{host} is not on the public internet, so nothing is sent there. Whoever runs this"
        " installation can allow its network: webhook_networks in cloud.toml."
    )
    is_forbidden = True


class NeedsHttps(NotReachable):
    sentence = (
        "On the public internet events go by https only: the address must begin with https://."
    )
    is_forbidden = True


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect for a URL, and by what name to ask and to check the certificate."""

    address: Address
    host: str


def check(url: str) -> str:
    """The URL as it is kept. Raises BadUrl."""
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl(most=LONGEST_URL) from None
    if (
        parts.scheme not in ("https", "http")
        or not parts.hostname
        or port == 0
        or parts.username is not None
        or parts.password is not None
        or parts.fragment
        or len(url) > LONGEST_URL
        or not url.isascii()
        or not url.isprintable()
        or " " in url
        or "\\" in url
    ):
        raise BadUrl(most=LONGEST_URL)
    return url


def resolve(url: str, allowed: Iterable[Network]) -> Target:
    """Where a URL that check has passed leads now.

    Raises NotReachable where the name has no address, Forbidden where one of them is neither public nor in
    an allowed network, NeedsHttps where it is public and the URL is not https.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        found = socket.getaddrinfo(host, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NotReachable(host=host) from None
    addresses = [ip_address(str(sockaddr[0]).partition("%")[0]) for *_, sockaddr in found]
    networks = tuple(allowed)
    for address in addresses:
        if not any(_plain(address) in network for network in networks):
            if not _is_public(address):
                raise Forbidden(host=host)
            if parts.scheme != "https":
                raise NeedsHttps(host=host)
    if not addresses:
        raise NotReachable(host=host)
    return Target(addresses[0], host)


def _is_public(address: Address) -> bool:
    plain = _plain(address)
    return plain.is_global and not plain.is_multicast


def _plain(address: Address) -> Address:
    """The IPv4 address where an IPv6 one stands for it: mapped, by 6to4, by Teredo or by NAT64."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return (
        address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or address
    )


_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052, 2.1
