"""Where Redis is, as a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Address = tuple[str, int]
Kind = Literal["memory", "single", "unix", "sentinel", "cluster"]


@dataclass(frozen=True, slots=True)
class Topology:
    """Where Redis is, and the limits that a client keeps with it."""

    kind: Kind
    addresses: tuple[Address, ...] = ()
    """Servers, sentinels or cluster nodes to ask first."""
    name: str = ""
    """The embedded server's name, the socket's path, or the service that the sentinels watch."""
    tls: bool = False
    connection: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """Keyword arguments for redis-py's connection classes; credentials are in here."""
    sentinel: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """The same for connections to the sentinels."""
    max_connections: int = 50
    pool_timeout: float = 5.0
    """Seconds to wait for a free connection of the pool."""
    socket_timeout: float = 1.0
    """Seconds to wait for a reply."""

    def __str__(self) -> str:
        """Return the servers without credentials, for messages."""
        places = ",".join(f"{host}:{port}" for host, port in self.addresses)
        if self.kind == "memory":
            return f"memory://{self.name}"
        if self.kind == "unix":
            return f"unix://{self.name}"
        if self.kind == "sentinel":
            return f"sentinel {self.name} at {places}"
        return f"cluster {places}" if self.kind == "cluster" else places
