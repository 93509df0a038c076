"""Who is calling: the client behind the proxies that stand in front of an application."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from holdfast.errors import ConfigurationError
from holdfast.web.addresses import Node, Peer, Proxies, Trusted, name_of, parse_peer
from holdfast.web.forwarded import FORWARDED, X_FORWARDED_FOR, Headers, fields_of, nodes_from_right

_SHORTEST_PREFIX: Final = 32
"""Bits that a provider gets at least; a shorter prefix would hold strangers in one group."""


def client_identity(
    headers: Headers,
    peer: Peer,
    *,
    trusted: Trusted = (),
    hops: int | None = None,
    ipv6_prefix: int = 64,
    header: str | None = None,
) -> str | None:
    """Return a text that stands for the client of a request, or None if nothing tells who it is.

    Only what a proxy of ours wrote is believed. Without `trusted` and `hops` that is nothing, and the peer is the
    client. With `trusted`, and a peer that is one of these, the field is read from the right: proxies are passed over,
    and the first who is none is the client. With `hops`, the client is who stands that many elements from the right.
    Whatever a client sends stands further left and is never looked at.

    None means that nobody is known, not that anybody may pass: a proxy added no field, named nobody, or garbage; the
    request came from a proxy itself; both fields are there and disagree. A proxy's own address is never returned, since
    all who come through it would share it.

    Args:
        headers: a mapping or pairs, of texts or bytes, as WSGI and ASGI frameworks have them.
        peer: the other end of the connection: `(host, port)`, text, an address of `ipaddress`, or None for a socket in
            the file system.
        trusted: networks and addresses of the proxies, as texts or from `ipaddress`; `"unix"` is a peer without an
            address. List nothing where clients are as well.
        hops: how many proxies every request comes through, if their addresses are not known; not with `trusted`. Then
            nobody must be able to reach the application, or one of the proxies, past the first of them.
        ipv6_prefix: bits of an IPv6 address that count, from 32 to 128.
        header: the one field that the proxies write: `"x-forwarded-for"`, `"forwarded"`, or another that holds
            addresses. Without it both of these are read, and must agree where both are there: most proxies pass on the
            one that they do not write, as a client sent it.

    Returns:
        An IPv4 address such as `"192.0.2.7"`, or an IPv6 network such as `"2001:db8:1:2::/64"`.

    Raises:
        ConfigurationError: an option cannot work, or the headers or the peer are none.

    Example:
        >>> from holdfast.web import client_identity
        >>> fields = {"X-Forwarded-For": "192.0.2.66, 198.51.100.7"}
        >>> client_identity(fields, ("10.0.0.5", 41000), trusted=["10.0.0.0/8"])
        '198.51.100.7'
        >>> client_identity(fields, ("203.0.113.9", 41000), trusted=["10.0.0.0/8"])
        '203.0.113.9'
    """
    proxies = Proxies.of(trusted)
    _check(proxies, hops, ipv6_prefix)
    _check_fields(headers, header)
    node = parse_peer(peer)
    if hops == 0 or (hops is None and node not in proxies):
        return name_of(node, ipv6_prefix)
    names = (X_FORWARDED_FOR, FORWARDED) if header is None else (header.lower(),)
    fields = fields_of(headers, names)
    found = {name_of(_client(nodes_from_right(*field), proxies, hops), ipv6_prefix) for field in fields.items()}
    return found.pop() if len(found) == 1 else None


def _client(nodes: Iterator[Node], proxies: Proxies, hops: int | None) -> Node:
    """Return who stands in front of the proxies, from the nodes of one field, the last first."""
    if hops is not None:
        return next(islice(nodes, hops - 1, None), None)
    return next((node for node in nodes if node not in proxies), None)


def _check(proxies: Proxies, hops: int | None, ipv6_prefix: int) -> None:
    if hops is not None and proxies:
        raise ConfigurationError("give trusted or hops, not both: one says which proxies there are, one how many")
    if hops is not None and (isinstance(hops, bool) or not isinstance(hops, int) or hops < 0):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"hops={hops!r} must be a number of proxies, 0 or more")
    if not isinstance(ipv6_prefix, int) or not _SHORTEST_PREFIX <= ipv6_prefix <= 128:  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"ipv6_prefix={ipv6_prefix!r} must be from {_SHORTEST_PREFIX} to 128 bits; usual is 64"
        raise ConfigurationError(msg)


def _check_fields(headers: Headers, header: str | None) -> None:
    """Refuse what holds no fields, also where no field is read: the first proxy shall not be the first to notice."""
    # Callers are often untyped.
    if isinstance(headers, str | bytes) or not (isinstance(headers, Iterable) or hasattr(headers, "items")):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"headers={headers!r} are no header fields: give those of the request, a mapping or pairs"
        raise ConfigurationError(msg)
    if header is not None and (not isinstance(header, str) or not header):  # pyright: ignore[reportUnnecessaryIsInstance]
        msg = f"header={header!r} must be the name of a field, such as 'x-forwarded-for', or left out"
        raise ConfigurationError(msg)
