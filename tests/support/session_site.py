"""A site with sessions, in each of the fronts, and a browser that keeps its cookie."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import holdfast.asgi
import holdfast.wsgi
from holdfast import Layer
from support.colours import Colour
from support.http_clients import Got, ask_asgi, ask_wsgi

Act: TypeAlias = Callable[[Any], Any]
"""What the app does with the session of a request; it may return a `Says`, and may be async."""


class Says(list[tuple[str, str]]):
    """The fields of an answer."""


class Site:
    """An app behind the middleware, and a browser.

    Args:
        front: one of `support.http_world.FRONTS`.
        layer: where the sessions are.
        around: what to put around the middleware.
        options: of the middleware.
    """

    def __init__(self, front: str, layer: Layer, *, around: Callable[[Any], Any] | None = None, **options: Any) -> None:
        self.front = front
        self.layer = layer
        self.cookie = ""
        """What the browser has, name and value."""
        self.asked = 0
        """How often the app was."""
        self._act: Act = lambda _: None
        self._sync = Colour("sync")
        if front == "asgi":
            self.app: Any = holdfast.asgi.SessionMiddleware(self._asgi, layer=layer, **options)
        else:
            self.app = holdfast.wsgi.SessionMiddleware(self._wsgi, layer=layer, **options)
        if around is not None:
            self.app = around(self.app)

    @property
    def value(self) -> str:
        """The value of the browser's cookie."""
        return self.cookie.partition("=")[2]

    @property
    def handle(self) -> str:
        """The handle in the browser's cookie."""
        return self.value.partition(".")[0]

    async def ask(
        self,
        act: Act | None = None,
        *,
        line: str = "GET /",
        cookie: str | None = None,
        scheme: str = "http",
        keep: bool = True,
    ) -> Got:
        """Send a request, and return the answer.

        Args:
            act: what the app does.
            line: method and target.
            cookie: the Cookie field; None: what the browser has.
            scheme: by which the request comes.
            keep: whether the browser takes the cookie of the answer.
        """
        sent = self.cookie if cookie is None else cookie
        pairs = (("Host", "shop.example"), *((("Cookie", sent),) if sent else ()))
        method, _, target = line.partition(" ")
        self._act = act or (lambda _: None)
        ask = ask_asgi if self.front == "asgi" else _ask_wsgi
        got = await ask(self.app, method, target, pairs, scheme=scheme)
        if keep:
            self.take(got)
        return got

    def take(self, got: Got) -> None:
        """Let the browser take the cookie of an answer."""
        told = got.fields.get("set-cookie")
        if told is not None:
            pair, _, rest = told.partition(";")
            self.cookie = "" if "Max-Age=0" in rest else pair

    async def _asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        fields = self._act(scope.get("session"))
        if inspect.isawaitable(fields):
            fields = await fields
        raw = [(name.lower().encode(), value.encode()) for name, value in _fields(fields)]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        body = b"" if scope["method"] == "HEAD" else b"done"
        await send({"type": "http.response.body", "body": body})

    def _wsgi(self, environ: Any, start_response: Any) -> Any:
        self.asked += 1
        lazy = self._lazy(environ, start_response)
        return lazy if self.front == "wsgi-lazy" else list(lazy)

    def _lazy(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        found = self._act(environ.get("holdfast.session"))
        fields = self._sync.run(lambda: found) if inspect.isawaitable(found) else found  # type: ignore[arg-type, return-value]
        start_response("200 OK", _fields(fields))
        yield b"" if environ["REQUEST_METHOD"] == "HEAD" else b"done"


async def _ask_wsgi(*words: Any, **more: Any) -> Got:
    return ask_wsgi(*words, **more)


def _fields(returned: object) -> list[tuple[str, str]]:
    return list(returned) if isinstance(returned, Says) else []


def put(**values: Any) -> Act:
    """Return an app that assigns."""
    return lambda session: session.update(values)


def flags(cookie: str | None) -> set[str]:
    """Return the attributes of a Set-Cookie, in lower case."""
    assert cookie is not None
    return {part.strip().lower() for part in cookie.split(";")[1:]}


def index_of(layer: Layer, user: str = "u") -> str:
    """Return the key of a user's index."""
    return layer.engine.caching.names.session_user(user)[0]
