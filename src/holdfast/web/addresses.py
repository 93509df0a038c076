"""Addresses as servers, proxies and header fields write them, and which of them are proxies that we believe.

Nothing here looks at a request. An address is compared as a number: `::ffff:192.0.2.7` and `64:ff9b::c000:207` are
192.0.2.7, and a zone is no part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Any, Final, Literal, TypeAlias

from holdfast.errors import ConfigurationError

Address: TypeAlias = IPv4Address | IPv6Address
Node: TypeAlias = Address | Literal["unix"] | None
"""Who sent something: an address, a socket in the file system, or nobody that can be told from others."""
Peer: TypeAlias = str | Address | Sequence[Any] | None
"""The other end of a connection as servers give it: text, an address of `ipaddress`, `(host, port)`, or None for a
socket in the file system."""
Trusted: TypeAlias = "str | Iterable[str | IPv4Network | IPv6Network | IPv4Address | IPv6Address] | Proxies"

_LONGEST: Final = 100
"""Signs in an address with its port and zone; whatever is longer is none."""
_WITH_PORT: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")
_EMBEDDING: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""Networks whose last 32 bits are an IPv4 address: mapped ones, and those that NAT64 makes (RFC 6052, section 2.1)."""
_EMBEDDING_STARTS: Final = frozenset(int(network.network_address) >> 32 for network in _EMBEDDING)


def parse_node(text: str) -> Node:
    """Return who a text names, as RFC 7239, section 6, and the habits of X-Forwarded-For write it.

    Ports and zones are dropped. `unknown`, identifiers that begin with `_` (which may be new in each request), the
    address that stands for none, host names and garbage name nobody.
    """
    text = text.strip(" \t")
    if not text or len(text) > _LONGEST:
        return None
    if text.startswith("unix:"):
        return "unix"
    found = _WITH_PORT.fullmatch(text)
    if found:
        return _parse_v6(found["v6"]) if found["v4"] is None else _parse_v4(found["v4"])
    return _parse_v6(text)


def parse_peer(peer: Peer) -> Node:
    """Return who is at the other end of a connection.

    Raises:
        ConfigurationError: it is nothing of that kind.
    """
    host: Any = peer
    if peer is not None and not isinstance(peer, str | IPv4Address | IPv6Address):
        if not isinstance(peer, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
            msg = f"peer={peer!r} is no end of a connection: give (host, port), an address, or None for a socket file"
            raise ConfigurationError(msg)
        host = peer[0] if peer else None
    if not host or str(host).startswith(("/", "\0")):  # no address, or that of a socket file
        return "unix"
    return parse_node(str(host)) if isinstance(host, str | IPv4Address | IPv6Address) else None


def name_of(node: Node, ipv6_prefix: int) -> str | None:
    """Return the text under which one client is known, or None for who cannot be told from others.

    One customer has a whole network of IPv6 addresses to choose from, so these are known by their network.
    """
    if node is None or node == "unix":
        return None
    if isinstance(node, IPv4Address) or ipv6_prefix == node.max_prefixlen:
        return str(node)
    kept = int(node) >> (node.max_prefixlen - ipv6_prefix) << (node.max_prefixlen - ipv6_prefix)
    return f"{IPv6Address(kept)}/{ipv6_prefix}"


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies whose word is taken for who stands behind them."""

    ranges: tuple[tuple[int, int, int], ...] = ()
    """Version, first and last address of each network."""
    unix: bool = False
    """Whether whoever connects through a socket in the file system is one."""

    @classmethod
    def of(cls, trusted: Trusted) -> Proxies:
        """Return the proxies that a user means; the same text is worked out once.

        Args:
            trusted: networks or addresses, as text (`"10.0.0.0/8, 192.0.2.7"`) or from `ipaddress`; `"unix"`.

        Raises:
            ConfigurationError: one of them is no network.
        """
        if isinstance(trusted, Proxies):
            return trusted
        try:
            return _proxies((trusted,) if isinstance(trusted, str) else tuple(trusted))
        except TypeError:
            msg = f"trusted={trusted!r} is no list of networks: give texts such as '10.0.0.0/8', or 'unix'"
            raise ConfigurationError(msg) from None

    def __bool__(self) -> bool:
        return self.unix or bool(self.ranges)

    def __contains__(self, node: Node) -> bool:
        if node is None:
            return False
        if node == "unix":
            return self.unix
        version, number = node.version, int(node)
        return any(first <= number <= last for kind, first, last in self.ranges if kind == version)


@lru_cache(maxsize=64)
def _proxies(trusted: tuple[Any, ...]) -> Proxies:
    parts: list[Any] = []
    for each in trusted:
        parts += [part.strip() for part in each.split(",") if part.strip()] if isinstance(each, str) else [each]
    networks = [_network(part) for part in parts if part != "unix"]
    ranges = [(net.version, int(net.network_address), int(net.broadcast_address)) for net in networks]
    return Proxies(tuple(ranges), "unix" in parts)


def _network(given: Any) -> IPv4Network | IPv6Network:
    try:
        if not isinstance(given, str | IPv4Network | IPv6Network | IPv4Address | IPv6Address):
            raise ValueError("it is neither text nor of ipaddress")
        network = ip_network(given)
        if isinstance(network, IPv6Network) and any(map(network.subnet_of, _EMBEDDING)):
            network = IPv4Network((int(network.network_address) & 0xFFFFFFFF, network.prefixlen - 96))
        if not network.prefixlen:
            raise ValueError("it would trust everybody, clients as well; use hops where addresses are not known")
    except ValueError as error:
        msg = f"trusted={given!r} is no network: {error}; write it like '10.0.0.0/8', '2001:db8::/32' or 'unix'"
        raise ConfigurationError(msg) from None
    return network


def _parse_v4(text: str) -> Node:
    try:
        address = IPv4Address(text)
    except ValueError:
        return None
    return None if address.is_unspecified else address


def _parse_v6(text: str) -> Node:
    try:
        address = IPv6Address(text.partition("%")[0])
    except ValueError:
        return None
    number = int(address)
    found = IPv4Address(number & 0xFFFFFFFF) if number >> 32 in _EMBEDDING_STARTS else address
    return None if found.is_unspecified else found
