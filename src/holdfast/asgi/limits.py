"""Limits at the edge of an ASGI app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, Unpack

from holdfast.asgi.http_receive import Receive
from holdfast.asgi.http_relay import Send, send_answer
from holdfast.asgi.http_scopes import Scope
from holdfast.asgi.limit_relay import HeldReceive, HeldSend, field_adder
from holdfast.asgi.limit_sockets import Socket, refuse_socket
from holdfast.asgi.requests import ScopeRequest
from holdfast.asgi.routes import find_route, has_routes, root_of, templates_of
from holdfast.errors import ConfigurationError
from holdfast.layer import Layer
from holdfast.policy.http.answering import Answer
from holdfast.web.app_kinds import asgi_app
from holdfast.web.edge_limits import EdgeLimits
from holdfast.web.limit_options import RateLimitOptions

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class RateLimitMiddleware:
    """Limits what clients may ask of any ASGI app: how often, and how much at the same time.

    A request has to be admitted by every rule that it matches, and one that is refused never reaches the app, holds
    nothing and consumes nothing: it gets 429 with problem details (RFC 9457) and Retry-After. What it costs is one
    round trip, however many rules there are, and another one for each rule with `concurrency`. Every answer tells what
    is left, unless the app has set such fields itself. The decision is in ``scope["holdfast.limit"]``.

    A request that a rule with `concurrency` admits holds its slot until the last piece of the response's body, until
    the app is told that the client has left, or until the app ends, whichever is first. Background tasks, which run
    after the response, hold none. A websocket holds its slot while it is open.

    Put it outside of what is expensive, and inside of what corrects the address of the client, answers preflight
    requests (CORS), or logs.

    Args:
        app: the app.
        layer: where is counted; without it, the default layer of the moment.
        options:
            quota: what each client may ask, such as ``"100/minute"``.
            rules: further rules, see `holdfast.web.LimitRule`.
            trusted: the networks of the proxies in front of the app, see `holdfast.web.client_identity`. Without
                `trusted` and `hops` no field is believed.
            hops: how many proxies every request comes through, if their networks are not known.
            ipv6_prefix: bits of an IPv6 address that count (64).
            header: the one field that the proxies write.
            route: a function of the scope that returns the template of the route; without one, the routes of Starlette
                and FastAPI are asked, with those that are mounted.
            exempt: paths, each with all below it (but ``"/"`` is that alone), that no rule limits, or a function of a
                `WebRequest`.
            cost: units that a request costs (1), or a function of a `WebRequest`.
            settle: a function of status, fields and bytes of a response that returns what it has cost in truth; that is
                charged when the response is complete, or with what was sent if the client leaves.
            dialect: of the fields: ``"draft-11"``, ``"editor"``, ``"legacy"``, ``"x-ratelimit"`` or ``"off"``.
            unknown: what becomes of requests from nobody who is known: ``"refuse"`` (400), ``"share"`` (one quota for
                all of them) or ``"allow"``.
            on_failure: what to decide if Redis cannot be asked: ``"open"``, ``"closed"`` (503) or ``"local"``.
            budget: how long Redis may take (100 ms).
            shadow: whether all is only counted and reported.
            messages: what each websocket may receive, such as ``"20/second"``; it is closed with 1008 beyond that,
                unless it is exempt or all is in shadow mode.
            on_refused: a function of a `WebRequest` and a decision that returns the response to a refused request, as
                (status, headers, body), or None for the usual one.

    Raises:
        ConfigurationError: an option cannot work; the message names it.

    Example:
        >>> from holdfast.asgi import RateLimitMiddleware
        >>> from starlette.applications import Starlette
        >>> app = Starlette()
        >>> app.add_middleware(RateLimitMiddleware, quota="100/minute")
    """

    def __init__(self, app: App, *, layer: Layer | None = None, **options: Unpack[RateLimitOptions]) -> None:
        self.app = asgi_app(app, "RateLimitMiddleware")
        self._limits = EdgeLimits(layer, options, finds_routes=True)
        plan = self._limits.plan
        self._find_route = plan.route or partial(find_route, app=app)
        self._asks_routes = plan.route is None and plan.needs_route
        """Whether it is still to be seen that somebody can tell the route of a request."""
        self._root = root_of(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer a request that is admitted, and refuse any other."""
        kind = scope["type"]
        if kind == "websocket":
            await self._open(scope, receive, send)
            return
        if kind != "http":
            await self.app(scope, receive, send)
            return
        admission = await self._limits.aadmit(self._request_of(scope))
        if admission is None:
            await self.app(scope, receive, send)
            return
        if isinstance(admission, Answer):
            await send_answer(send, admission)
            return
        scope["holdfast.limit"] = admission.decision
        if not admission.holds:
            await self.app(scope, receive, field_adder(send, admission.raw_fields()))
            return
        held = HeldSend(send, admission)
        try:
            await self.app(scope, HeldReceive(receive, held), held)
        finally:
            await held.finish()

    def _request_of(self, scope: Scope) -> ScopeRequest:
        if self._asks_routes:
            if not has_routes(scope, self.app):  # then its rules would be about no request at all
                msg = "routes=, per_route= and by='route' need route= here: this app has no routes that can be asked"
                raise ConfigurationError(msg)
            self._asks_routes = False
            self._limits.compare_routes(templates_of(scope, self.app))
        if self._root and scope.get("root_path") != self._root:  # as the app itself puts it there, behind us
            return ScopeRequest({**scope, "root_path": self._root}, self._find_route)
        return ScopeRequest(scope, self._find_route)

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app open a websocket that is admitted."""
        admission, messages = await self._limits.aopen(self._request_of(scope))
        if isinstance(admission, Answer):
            await refuse_socket(scope, receive, send, admission)
            return
        if admission is None and not messages:
            await self.app(scope, receive, send)
            return
        if admission is not None:
            scope["holdfast.limit"] = admission.decision
        socket = Socket(receive, send, admission, messages)
        try:
            await self.app(scope, socket.receive, socket.send)
        finally:
            await socket.finish()
