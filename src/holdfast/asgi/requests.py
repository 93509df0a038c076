"""An ASGI scope as users' functions see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.web.addresses import Peer
from holdfast.web.requests import WebRequest


class ScopeRequest(WebRequest):
    """A request, or the opening of a websocket, by its scope."""

    __slots__ = ()

    @property
    def is_websocket(self) -> bool:
        """Whether it opens a websocket."""
        return bool(self.raw["type"] == "websocket")

    @property
    def method(self) -> str:
        """The method; GET for a websocket."""
        return str(self.raw.get("method", "GET")).upper()

    @property
    def scheme(self) -> str:
        """The scheme, as the server tells it."""
        return str(self.raw.get("scheme", "http"))

    @property
    def host(self) -> str | None:
        """The Host field."""
        return self.get("host")

    @property
    def path(self) -> str:
        """The path, percent-decoded, with where the app is mounted."""
        path, root = str(self.raw["path"]), str(self.raw.get("root_path", "")).rstrip("/")
        # Some servers leave out where the app is mounted.
        return path if not root or path == root or path.startswith(f"{root}/") else root + path

    @property
    def query(self) -> str:
        """The query as it was sent."""
        query: bytes = self.raw.get("query_string", b"")
        return query.decode("latin-1")

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""
        peer: Peer = self.raw.get("client")
        return peer

    def get(self, name: str) -> str | None:
        """Return a field by its name, its lines joined."""
        lines = self.lines(name)
        return ("; " if name.lower() == "cookie" else ", ").join(lines) if lines else None

    def lines(self, name: str) -> list[str]:
        """Return the lines of a field by its name."""
        wanted = name.lower().encode("latin-1", "replace")
        return [value.decode("latin-1") for key, value in self.raw["headers"] if key.lower() == wanted]

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Return all fields."""
        for name, value in self.raw["headers"]:
            yield name.decode("latin-1"), value.decode("latin-1")

    def find(self, name: str) -> Any:
        """Return what an outer middleware has left in the scope."""
        return self.raw.get(name)
