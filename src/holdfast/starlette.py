"""For apps of Starlette: when the layer is closed, and what clients get when an error of holdfast ends a request.

All of it serves FastAPI, too; `holdfast.fastapi` has what only that can use.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, TypeAlias

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from holdfast.asgi.routes import find_route
from holdfast.core.session import Session
from holdfast.defaults import current_default
from holdfast.errors import ConfigurationError, RateLimited
from holdfast.layer import Layer
from holdfast.web.refusals import REFUSALS, refusal_answer

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[Any]]
"""A function of the app that returns an async context manager, as `asynccontextmanager` makes it."""
LayerOption: TypeAlias = "Layer | Callable[[], Layer | Awaitable[Layer]] | None"

__all__ = ["Lifespan", "exception_handlers", "find_route", "install", "lifespan", "session_of"]

_OVER_LIMIT: Final = 1008
_TRY_LATER: Final = 1013


def session_of(request: HTTPConnection) -> Session:
    """Return the session of a request or websocket, with its type: ``request.session`` is a dict to type checkers.

    In FastAPI it is a dependency: ``session: Annotated[Session, Depends(session_of)]``.

    Raises:
        ConfigurationError: there is no `holdfast.asgi.SessionMiddleware` around the app, or the path is exempt.
    """
    session = request.scope.get("session")
    if not isinstance(session, Session):
        raise ConfigurationError(_why_not(request.scope))
    session.mark_accessed()
    return session


def _why_not(scope: Any) -> str:
    """Say why a request has no session of ours, and what to do."""
    if "session" in scope:  # theirs stands inside of ours, or alone
        return (
            'scope["session"] is that of another middleware, such as Starlette\'s own SessionMiddleware: '
            "take that out, and add holdfast.asgi.SessionMiddleware"
        )
    return (
        f"{scope['path']!r} has no session of holdfast: add holdfast.asgi.SessionMiddleware to the app, or take the "
        "path out of its exempt="
    )


def lifespan(layer: LayerOption = None, inner: Lifespan | None = None) -> Lifespan:
    """Return a lifespan that closes the layer when the app ends, for ``Starlette(lifespan=...)`` and FastAPI's.

    Nothing is opened at the start: a layer connects when it is used. At the end work in the background is waited for,
    and the connections are closed, also if the app or `inner` failed.

    Args:
        layer: the layer; or a function that makes it, async or not, which is called at each start, such as
            ``lambda: configure("redis://localhost:6379/0")``; or None for whatever is the default layer at the end.
        inner: the lifespan of your own. It runs inside, so that it can use the layer to its last line, and what it
            yields is the state of requests.

    Raises:
        ConfigurationError: an argument cannot work. Starting raises it if the layer was closed by an earlier run, as
            tests do that enter the app twice: give a function then, which makes a new one.

    Example:
        >>> from holdfast import Layer
        >>> from holdfast.starlette import lifespan
        >>> from starlette.applications import Starlette
        >>> app = Starlette(lifespan=lifespan(Layer("memory://lifespan-example")))
    """
    if layer is not None and not isinstance(layer, Layer) and not callable(layer):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"layer= must be a Layer or a function that makes one, not {type(layer).__name__}"
        raise ConfigurationError(msg)
    if inner is not None and (inspect.isasyncgenfunction(inner) or not callable(inner)):
        msg = "inner= must be your lifespan as Starlette takes it: put @asynccontextmanager on the function"
        raise ConfigurationError(msg)
    closed: list[Layer] = []

    @asynccontextmanager
    async def run(app: Any) -> AsyncGenerator[Any, None]:
        opened = await _open(layer)
        if (current_default() if opened is None else opened) in closed:
            msg = "this layer was closed when the app ended before: give lifespan a function that makes a new one"
            raise ConfigurationError(msg)
        try:
            if inner is None:
                yield None
            else:
                async with inner(app) as state:
                    yield state
        finally:
            found = current_default() if opened is None else opened
            if found is not None:
                closed[:] = [found]
                await found.aclose()

    return run


async def _open(layer: LayerOption) -> Layer | None:
    """Return the layer of one run of an app; None if that is the default one."""
    if layer is None or isinstance(layer, Layer):
        return layer
    made = layer()
    opened = made if isinstance(made, Layer) else await made
    if not isinstance(opened, Layer):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"the function that lifespan was given must return a Layer, not {type(opened).__name__}"
        raise ConfigurationError(msg)
    return opened


async def refuse(connection: HTTPConnection, error: Exception) -> Response | None:
    """Answer a request that ended with an error of `exception_handlers`; close a websocket that did.

    Args:
        connection: the request or the websocket.
        error: what was raised.
    """
    if isinstance(connection, WebSocket):
        if WebSocketState.DISCONNECTED not in (connection.client_state, connection.application_state):
            await connection.close(_OVER_LIMIT if isinstance(error, RateLimited) else _TRY_LATER)
        return None
    bodiless = isinstance(connection, Request) and connection.method == "HEAD"
    answer = refusal_answer(error, bodiless=bodiless)
    response = Response(answer.body, answer.status)
    response.raw_headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (*answer.fields, *answer.more)
    ]
    return response


exception_handlers: Final[Mapping[Any, Any]] = dict.fromkeys(REFUSALS, refuse)
"""For ``Starlette(exception_handlers={**exception_handlers, ...})``: `RateLimited` becomes a 429 (or 503),
`LockNotAcquired` and `AlreadyRunning` a 409, `KeyReused` a 422. They are problem details (RFC 9457) that no cache
keeps; a websocket is closed."""


def install(app: Starlette) -> None:
    """Answer the errors of `exception_handlers` in an app that is there already, unless it has handlers for them.

    Args:
        app: of Starlette or FastAPI; `holdfast.fastapi.install` does more for the latter.
    """
    for kind, handler in exception_handlers.items():
        if kind not in app.exception_handlers:
            app.add_exception_handler(kind, handler)
