"""A middleware of the wrong protocol is refused when it is made, and whatever may be an app is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint

import holdfast.asgi
import holdfast.wsgi
import support.django_site  # noqa: F401 - Django has to be set up
from holdfast import ConfigurationError, Layer

from django.core.handlers.asgi import ASGIHandler  # isort: skip - needs settings
from django.core.handlers.wsgi import WSGIHandler  # isort: skip

NAMES = ("CacheMiddleware", "RateLimitMiddleware", "SessionMiddleware", "IdempotencyMiddleware")
OPTIONS: dict[str, dict[str, Any]] = {"RateLimitMiddleware": {"quota": "1/minute"}}


async def asgi_function(scope: Any, receive: Any, send: Any) -> None:
    """An app of ASGI."""


def wsgi_function(environ: Any, start_response: Any) -> Iterable[bytes]:
    """An app of WSGI."""
    return []


def asgi_by_hand(scope: Any, receive: Any, send: Any) -> Any:
    """One that is no coroutine function, and returns what can be awaited."""
    return asgi_function(scope, receive, send)


def asgi_with_more(environ: Any, scope: Any, receive: Any, send: Any) -> Any:
    """One that `partial` makes an app."""


class WsgiObject:
    """An app that is an object, and one that is its method."""

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer."""
        return []

    def answer(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Answer."""
        return []


class WsgiClass:
    """An app whose instances are the bodies (PEP 3333)."""

    def __init__(self, environ: Any, start_response: Any) -> None:
        self._start_response = start_response


@wraps(wsgi_function)
async def adapted(*arguments: Any) -> None:
    """An app of ASGI that says that it is another."""


@wraps(asgi_function)
def adapted_too(environ: Any, start_response: Any) -> Iterable[bytes]:
    """An app of WSGI that says that it is another."""
    return []


def anything(*arguments: Any) -> Any:
    """Nobody can tell what it is."""


ASGI: dict[str, Any] = {
    "function": asgi_function,
    "by hand": asgi_by_hand,
    "partial": partial(asgi_with_more, {}),
    "Starlette": Starlette(),
    "its method": Starlette().__call__,
    "FastAPI": FastAPI(),
    "endpoint": HTTPEndpoint,
    "Django": ASGIHandler(),
    "adapter": adapted,
    "ours": holdfast.asgi.CacheMiddleware(asgi_function, layer=Layer("memory://app-kinds")),
}
WSGI: dict[str, Any] = {
    "function": wsgi_function,
    "partial": partial(wsgi_function),
    "object": WsgiObject(),
    "method": WsgiObject().answer,
    "class": WsgiClass,
    "Flask": Flask("shop"),
    "wsgi_app": Flask("shop").wsgi_app,
    "Django": WSGIHandler(),
    "adapter": adapted_too,
    "ours": holdfast.wsgi.CacheMiddleware(wsgi_function, layer=Layer("memory://app-kinds")),
}


def _make(module: Any, name: str, app: Any) -> Any:
    made: Callable[..., Any] = getattr(module, name)
    return made(app, layer=Layer("memory://app-kinds"), **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", NAMES)
def test_an_app_of_the_protocol_is_taken(name: str) -> None:
    """Functions, partials, objects, methods, classes, adapters, and the apps of every framework."""
    for module, apps in ((holdfast.asgi, ASGI), (holdfast.wsgi, WSGI)):
        for app in (*apps.values(), anything, None):
            assert _make(module, name, app).app is app


@pytest.mark.parametrize("name", NAMES)
def test_an_app_of_the_other_protocol_is_refused(name: str) -> None:
    """When the middleware is made, with the name of the one to take."""
    for module, other, apps in (("asgi", "wsgi", WSGI), ("wsgi", "asgi", ASGI)):
        for app in apps.values():
            said = rf"\.{name} is for {module.upper()} apps, .* is none: take holdfast\.{other}\.{name}$"
            with pytest.raises(ConfigurationError, match=said):
                _make(getattr(holdfast, module), name, app)


def test_add_middleware_of_starlette_is_refused() -> None:
    """Starlette makes its middleware when the app is first used; the message then names them."""
    app = Starlette()
    app.add_middleware(holdfast.wsgi.SessionMiddleware)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"take holdfast\.asgi\.SessionMiddleware"):
        app.build_middleware_stack()


def test_what_is_an_app_of_neither_is_refused() -> None:
    """With what it has to take."""

    def view(request: Any) -> Any:
        """A view, and no app."""

    with pytest.raises(ConfigurationError, match=r"view is none: it cannot be called with scope, receive, send"):
        holdfast.asgi.SessionMiddleware(view)
    with pytest.raises(ConfigurationError, match=r"view is none: it cannot be called with environ, start_response"):
        holdfast.wsgi.SessionMiddleware(view)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_an_option_with_a_slip_is_told_what_there_is(name: str) -> None:
    """All of it, `layer` as well."""
    for module, app in ((holdfast.asgi, asgi_function), (holdfast.wsgi, wsgi_function)):
        with pytest.raises(ConfigurationError, match=rf"^{name} has no option 'layre'; it has .*\blayer\b"):
            getattr(module, name)(app, layre=1)
