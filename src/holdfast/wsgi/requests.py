"""A WSGI environ as users' functions see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from holdfast.web.addresses import Peer
from holdfast.web.requests import WebRequest
from holdfast.wsgi.http_environs import APART, variable


class EnvironRequest(WebRequest):
    """A request by its environ (PEP 3333)."""

    __slots__ = ()

    @property
    def method(self) -> str:
        """The method."""
        return str(self.raw["REQUEST_METHOD"]).upper()

    @property
    def scheme(self) -> str:
        """The scheme, as the server tells it."""
        return str(self.raw.get("wsgi.url_scheme", "http"))

    @property
    def host(self) -> str | None:
        """The Host field."""
        return self.get("host")

    @property
    def path(self) -> str:
        """The path, percent-decoded, with where the app is mounted."""
        path: str = self.raw.get("SCRIPT_NAME", "") + self.raw.get("PATH_INFO", "")
        return path.encode("latin-1", "replace").decode("utf-8", "replace")

    @property
    def query(self) -> str:
        """The query as it was sent."""
        return str(self.raw.get("QUERY_STRING", ""))

    @property
    def peer(self) -> Peer:
        """The other end of the connection."""
        return self.raw.get("REMOTE_ADDR") or None

    def get(self, name: str) -> str | None:
        """Return a field by its name, as the server joined its lines."""
        value = self.raw.get(variable(name.lower()))
        return None if value is None else str(value)

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Return all fields."""
        for name, value in self.raw.items():
            if name.startswith("HTTP_"):
                yield name[5:].replace("_", "-").lower(), str(value)
            elif name in APART and value:
                yield name.replace("_", "-").lower(), str(value)

    def find(self, name: str) -> Any:
        """Return what an outer middleware has left in the environ, under ``holdfast.<name>``."""
        return self.raw.get(f"holdfast.{name}")
