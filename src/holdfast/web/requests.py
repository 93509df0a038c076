"""A request as users' functions see it: the same for ASGI, WSGI and the frameworks.

Limits ask it who calls and what a request costs, idempotency whose it is. It is made for each request that a rule has
to look at, so that nothing is worked out before somebody asks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from holdfast.web.addresses import Peer

FindRoute: TypeAlias = Callable[[Any], str | None]
"""From a scope or an environ to the template of its route, such as ``"/items/{item_id}"``; None if none fits."""


class WebRequest(ABC):
    """A request to a web app.

    Attributes:
        raw: the scope of ASGI, the environ of WSGI, or a framework's own request.
    """

    __slots__ = ("_find_route", "_route", "raw")

    def __init__(self, raw: Any, find_route: FindRoute | None = None) -> None:
        self.raw = raw
        self._find_route = find_route
        self._route: str | None = None

    @property
    def route(self) -> str | None:
        """The template of the route that will answer, such as ``"/items/{item_id}"``; None if nobody can tell."""
        if self._find_route is not None:
            self._route, self._find_route = self._find_route(self.raw), None
        return self._route

    @property
    def is_websocket(self) -> bool:
        """Whether it opens a websocket."""
        return False

    @property
    @abstractmethod
    def method(self) -> str:
        """The method, in upper case, in which many apps read it however it was sent; GET for a websocket."""

    @property
    @abstractmethod
    def scheme(self) -> str:
        """``"http"``, ``"https"``, ``"ws"`` or ``"wss"``, as the server tells it."""

    @property
    @abstractmethod
    def host(self) -> str | None:
        """The Host field; None if there is none."""

    @property
    @abstractmethod
    def path(self) -> str:
        """The path, percent-decoded, with where the app is mounted."""

    @property
    @abstractmethod
    def query(self) -> str:
        """The query as it was sent, without the question mark."""

    @property
    @abstractmethod
    def peer(self) -> Peer:
        """The other end of the connection; None for a socket in the file system."""

    @abstractmethod
    def get(self, name: str) -> str | None:
        """Return a field by its name in any case, its lines joined; None if it is absent."""

    def lines(self, name: str) -> list[str]:
        """Return the lines of a field by its name in any case, as far as the server keeps them apart."""
        value = self.get(name)
        return [] if value is None else [value]

    @abstractmethod
    def pairs(self) -> Iterable[tuple[str, str]]:
        """Return all fields, as `client_identity` takes them."""

    @abstractmethod
    def find(self, name: str) -> Any:
        """Return what an outer middleware has left under a name, such as ``"session"``; None if there is nothing."""
