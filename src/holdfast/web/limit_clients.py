"""Whom the limits at the edge count for: the client of a request, known by its address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from holdfast.errors import ConfigurationError
from holdfast.web.addresses import Peer, Proxies, Trusted, name_of, parse_peer
from holdfast.web.forwarded import FORWARDED, X_FORWARDED_FOR, Headers
from holdfast.web.identity import client_identity

_MOST_KNOWN: Final = 4096
_HOST: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,62}(?:\.[A-Za-z0-9-]{1,63}){0,8}")
_NOBODY: Final = frozenset({"unknown", "localhost"})
"""Names that proxies and servers write where they know nobody."""
_LONGEST_SHOWN: Final = 64
"""Characters of a peer in a message; an address has fewer."""
_SCHEMED: Final = frozenset({"authorization", "proxy-authorization"})
_BLANKS: Final = re.compile(r"[ \t]+")


class Clients:
    """Tells clients from one another, behind the proxies that a user has named.

    Raises:
        ConfigurationError: an option cannot work; the message names it.
    """

    def __init__(self, *, trusted: Trusted, hops: int | None, ipv6_prefix: int, header: str | None) -> None:
        self._trusted, self._hops = Proxies.of(trusted), hops
        self._prefix, self._header = ipv6_prefix, header
        client_identity({}, "127.0.0.1", **self._options)  # what cannot work shows now
        self.reads_fields = bool(self._trusted) or bool(hops)
        """Whether the fields of a request may tell who it is from; if not, the peer alone does."""
        self._known: dict[str, str | None] = {}

    @property
    def _options(self) -> dict[str, Any]:
        return {"trusted": self._trusted, "hops": self._hops, "ipv6_prefix": self._prefix, "header": self._header}

    def identity(self, peer: Peer, fields: Callable[[], Headers]) -> str | None:
        """Return a text that stands for the client; None if nobody is known.

        Args:
            peer: the other end of the connection.
            fields: returns the fields of the request; called only if they may tell something.
        """
        if self.reads_fields:
            return client_identity(fields(), peer, **self._options)
        end: Any = peer
        host: Any = end if isinstance(end, str) or not end else end[0]
        if type(host) is not str:  # None, or an object of ipaddress
            return self._of_peer(peer)
        try:
            return self._known[host]
        except KeyError:
            found = self._of_peer(host)
        if len(self._known) < _MOST_KNOWN:
            self._known[host] = found
        return found

    def explain(self, peer: Peer, fields: Headers) -> str:
        """Return why nobody is known, for those who run the app: the peer, and the options, but no values of fields."""
        node, who = parse_peer(peer), _shown(peer)
        if self._hops:
            start = f"it came from {who}, hops={self._hops}"
        elif self.reads_fields and node in self._trusted:
            start = f"it came from {who}, which is trusted="
        elif node == "unix":
            return f"it came from {who}; name the proxy behind it by trusted=['unix'], or else see unknown="
        else:
            return f"its peer {who} is no address; see unknown="
        names = (X_FORWARDED_FOR, FORWARDED) if self._header is None else (self._header.lower(),)
        items: Any = fields
        given = {str(name).lower() for name, _ in getattr(items, "items", lambda: items)()}
        there = [name for name in names if name in given]
        if not there:
            return f"{start}, and has no field {' or '.join(names)}: the proxy adds none, or the server has removed it"
        return f"{start}, and {' and '.join(there)} {'name' if len(there) > 1 else 'names'} no client, or not one alone"

    def _of_peer(self, peer: Peer) -> str | None:
        """Return who a peer is if no proxy is there: also one that a test has given a name."""
        node = parse_peer(peer)
        if node is None and isinstance(peer, str) and peer not in _NOBODY and _HOST.fullmatch(peer):
            return peer
        return name_of(node, self._prefix)


def _shown(peer: Peer) -> str:
    """Return the other end of a connection for a message."""
    if parse_peer(peer) == "unix":
        return "a socket in the file system"
    end: Any = peer
    host = str(end if isinstance(end, str) or not hasattr(end, "__getitem__") else end[0])[:_LONGEST_SHOWN]
    return host if host.isascii() and host.isprintable() else ascii(host)


def credential_of(field: str, value: str) -> str:
    """Return what a field says who somebody is, without what apps do not look at.

    The scheme of credentials may be in any case, and any number of blanks may follow it (RFC 9110, 11.1 and 11.4).

    Args:
        field: its name.
        value: what it says.
    """
    text = value.strip(" \t")
    if field.lower() not in _SCHEMED:
        return text
    scheme, *rest = _BLANKS.split(text, 1)
    return " ".join([scheme.lower(), *rest])


def checked_unknown(given: object, option: str = "unknown") -> str:
    """Return what becomes of requests from nobody who is known.

    Raises:
        ConfigurationError: it is nothing of the kind.
    """
    if given not in ("refuse", "share", "allow"):
        msg = (
            f"{option}={given!r} must be 'refuse' (answer 400), 'share' (one quota for all who are unknown) "
            f"or 'allow' (no limit for them)"
        )
        raise ConfigurationError(msg)
    return str(given)
