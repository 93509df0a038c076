"""Whether what a middleware is put around speaks its protocol: a mistake that would show at the first request only."""

from __future__ import annotations

import inspect
from typing import Any, Final, TypeVar

from holdfast._calls import is_async
from holdfast.errors import ConfigurationError

App = TypeVar("App")
_ARGUMENTS: Final = {"asgi": ("scope", "receive", "send"), "wsgi": ("environ", "start_response")}


def asgi_app(app: App, middleware: str) -> App:
    """Return an app that a middleware of `holdfast.asgi` is put around.

    Args:
        app: as given.
        middleware: the name of the class, for the message.

    Raises:
        ConfigurationError: it is certainly no ASGI app: it cannot be called with scope, receive and send.
    """
    if not _takes(app, "asgi"):
        raise ConfigurationError(_message(app, middleware, "asgi", "wsgi"))
    return app


def wsgi_app(app: App, middleware: str) -> App:
    """Return an app that a middleware of `holdfast.wsgi` is put around.

    Args:
        app: as given.
        middleware: the name of the class, for the message.

    Raises:
        ConfigurationError: it is certainly no WSGI app: what it returns has to be awaited, or it cannot be called with
            environ and start_response.
    """
    # A function whose result is no iterable but has to be awaited has no use for a server of WSGI.
    if not _takes(app, "wsgi") or (callable(app) and is_async(app)):
        raise ConfigurationError(_message(app, middleware, "wsgi", "asgi"))
    return app


def _takes(app: Any, kind: str) -> bool:
    """Say whether an app may be one that is called with the arguments of a kind; True if nobody can tell."""
    if hasattr(app, "__signature__"):  # it may say anything, and describes what is called for people
        return True
    try:
        # A wrapper decides for itself; what it wraps may be of the other kind, as in adapters.
        signature = inspect.signature(app, follow_wrapped=False)
    except (TypeError, ValueError):  # not callable, or written in C
        return True
    try:
        signature.bind(*_ARGUMENTS[kind])
    except TypeError:
        return False
    return True


def _message(app: object, middleware: str, kind: str, other: str) -> str:
    named = getattr(app, "__qualname__", None)
    name = named if isinstance(named, str) else type(app).__qualname__
    wrong = f"holdfast.{kind}.{middleware} is for {kind.upper()} apps, and {name} is none"
    if not _takes(app, other):
        return f"{wrong}: it cannot be called with {', '.join(_ARGUMENTS[kind])}"
    return f"{wrong}: take holdfast.{other}.{middleware}"
