"""`Holdfast`: what makes an app of Flask use a layer."""

from __future__ import annotations

from typing import Any, Final

from flask import Flask, current_app, has_app_context

from holdfast.defaults import current_default, engine_of, find_default_by, make_default
from holdfast.errors import ConfigurationError
from holdfast.flask.cli import commands
from holdfast.flask.refusals import register_refusals
from holdfast.flask.routes import RouteFinder
from holdfast.flask.sessions import HoldfastSessionInterface
from holdfast.flask.settings import check_names, layer_of, part_of
from holdfast.layer import Layer

NAME: Final = "holdfast"
"""Under which the layer is among the extensions of an app."""


class Holdfast:
    """Gives apps of Flask a layer, and what they want in front of their views, by their configuration.

    It reads these keys of `app.config` when it is given the app:

    - ``HOLDFAST_URL``, ``HOLDFAST_NAMESPACE``, ``HOLDFAST_SECRET``: of the layer; without the first two, those of the
      environment. ``HOLDFAST_OPTIONS`` is a dict of further options of `Layer`.
    - ``HOLDFAST_SESSIONS``: True, or a dict of options of sessions: `flask.session` is kept in Redis.
    - ``HOLDFAST_LIMITS``: a quota, or a dict of options of `holdfast.wsgi.RateLimitMiddleware`.
    - ``HOLDFAST_HTTP_CACHE``: True, or a dict of options of `holdfast.wsgi.CacheMiddleware`.
    - ``HOLDFAST_IDEMPOTENCY``: True, or a dict of options of `holdfast.wsgi.IdempotencyMiddleware`.

    Limits stand outermost, then the HTTP cache, then idempotency, and sessions in the app. `RateLimited`,
    `LockNotAcquired` and `IdempotencyError` that views raise are answered; ``flask holdfast`` has commands; the layer
    is among the app's extensions as ``"holdfast"``.

    The layer becomes the default one, too, which decorators without ``layer=`` use. Where apps of one process have
    different ones, it is that of the current app; outside of any, in a thread say, that of the one set up last.

    Args:
        app: the app; without one, call `init_app`, as app factories do.
        layer: for all apps of this extension; without it, each gets one of its own by its configuration.

    Raises:
        ConfigurationError: something in the configuration cannot work; the message names it.

    Example:
        >>> from flask import Flask
        >>> from holdfast.flask import Holdfast
        >>> app = Flask(__name__)
        >>> app.config.update(HOLDFAST_URL="memory://flask-example", HOLDFAST_NAMESPACE="shop")
        >>> holdfast = Holdfast(app)
        >>> holdfast.layer.cache.set("greeting", "hello", ttl="1m")
    """

    def __init__(self, app: Flask | None = None, *, layer: Layer | None = None) -> None:
        engine_of(layer)
        self._given = layer
        self._last: Layer | None = None
        if app is not None:
            self.init_app(app)

    @property
    def layer(self) -> Layer:
        """The layer: of the current app if there is one, or else of the one that was set up last.

        Raises:
            ConfigurationError: no app was set up.
        """
        found = _layer_here() or self._last or self._given
        if found is None:
            raise ConfigurationError("there is no layer yet: call init_app(app) first")
        return found

    def init_app(self, app: Flask) -> None:
        """Set up an app.

        Raises:
            ConfigurationError: something in its configuration cannot work, or it was set up before.
        """
        if NAME in app.extensions:
            raise ConfigurationError("this app has a Holdfast already: its middleware would stand there twice")
        check_names(app.config)
        layer = self._given or layer_of(app.config)
        _wrap(app, layer)
        sessions = part_of(app.config, "SESSIONS")
        if sessions is not None:
            interface = app.session_interface = HoldfastSessionInterface(layer, **sessions)
            interface.check(app)
        register_refusals(app)
        app.cli.add_command(commands())
        app.extensions[NAME] = self._last = layer
        if current_default() is not None:  # one process may have several apps
            find_default_by(_layer_here)
        make_default(layer)


def _layer_here() -> Layer | None:
    """Return the layer of the current app; None if there is none."""
    found: Layer | None = current_app.extensions.get(NAME) if has_app_context() else None
    return found


def _wrap(app: Flask, layer: Layer) -> None:
    """Put the middleware in front of an app, the innermost first.

    Limits are outside of the cache: what they say to one client must not be stored for others, and what comes from the
    cache has its price, too.
    """
    from holdfast import wsgi

    # Options come from a configuration, where no type checker has seen them; each middleware checks its own.
    made: Any = wsgi
    idempotency, cache, limits = (part_of(app.config, key) for key in ("IDEMPOTENCY", "HTTP_CACHE", "LIMITS"))
    wrapped: Any = app.wsgi_app
    if idempotency is not None:
        wrapped = made.IdempotencyMiddleware(wrapped, **{"layer": layer, **idempotency})
    if cache is not None:
        wrapped = made.CacheMiddleware(wrapped, **{"layer": layer, **cache})
    if limits is not None:
        wrapped = made.RateLimitMiddleware(wrapped, **{"layer": layer, "route": RouteFinder(app), **limits})
    app.wsgi_app = wrapped  # type: ignore[method-assign]  # as Flask's documentation says to add middleware
