"""Limits at the edge of a WSGI app."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Unpack

from holdfast.layer import Layer
from holdfast.policy.http.answering import Answer
from holdfast.web.app_kinds import wsgi_app
from holdfast.web.edge_limits import EdgeLimits
from holdfast.web.limit_matching import refuse_async
from holdfast.web.limit_options import RateLimitOptions
from holdfast.wsgi.http_environs import Environ
from holdfast.wsgi.http_run import App, StartResponse, start_answer
from holdfast.wsgi.limit_bodies import HeldRun, add_fields
from holdfast.wsgi.requests import EnvironRequest


class RateLimitMiddleware:
    """Limits what clients may ask of any WSGI app: how often, and how much at the same time.

    A request has to be admitted by every rule that it matches, and one that is refused never reaches the app, holds
    nothing and consumes nothing: it gets 429 with problem details (RFC 9457) and Retry-After. What it costs is one
    round trip, however many rules there are, and another one for each rule with `concurrency`. Every answer tells what
    is left, unless the app has set such fields itself. The decision is in ``environ["holdfast.limit"]``.

    A request that a rule with `concurrency` admits holds its slot until the end of the response's body, or until the
    server closes it, whichever is first.

    Args:
        app: the app.
        layer: where is counted; without it, the default layer of the moment.
        options: those of `holdfast.asgi.RateLimitMiddleware`, which explains each, but `messages`; functions must be
            plain ones. Nobody can tell a route without `route`, a function of the environ.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from flask import Flask
        >>> from holdfast.wsgi import RateLimitMiddleware
        >>> app = Flask(__name__)
        >>> app.wsgi_app = RateLimitMiddleware(app.wsgi_app, quota="100/minute")
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[RateLimitOptions]) -> None:
        self.app = wsgi_app(app, "RateLimitMiddleware")
        self._limits = EdgeLimits(layer, options, finds_routes=False)
        plan = self._limits.plan
        plan.refuse_messages()
        refuse_async(**plan.functions)
        self._find_route = plan.route
        self._find_templates = getattr(plan.route, "templates", None) if plan.needs_route else None
        """Returns the templates of all routes, where that can be told, until it is asked."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Let the app answer a request that is admitted, and refuse any other."""
        if self._find_templates is not None:
            find, self._find_templates = self._find_templates, None
            self._limits.compare_routes(find())
        admission = self._limits.admit(EnvironRequest(environ, self._find_route))
        if admission is None:
            return self.app(environ, start_response)
        if isinstance(admission, Answer):
            return start_answer(start_response, admission)
        environ["holdfast.limit"] = admission.decision
        if admission.holds:
            return HeldRun(admission, start_response).begin(self.app, environ)
        fields = admission.fields()

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            told = add_fields(headers, fields)
            return start_response(status, told) if exc_info is None else start_response(status, told, exc_info)

        return self.app(environ, start if fields else start_response)
