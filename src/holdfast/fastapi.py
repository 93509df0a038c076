"""For apps of FastAPI: limits as dependencies, and the answers that its documentation shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from inspect import Parameter, Signature
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from fastapi import Depends, FastAPI, HTTPException, Response, WebSocketException, routing
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from holdfast.asgi.routes import find_route
from holdfast.asgi.told import Told, ToldMiddleware
from holdfast.core.limit_checks import OnLimitFailure
from holdfast.defaults import engine_of
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError, RateLimited
from holdfast.layer import Layer
from holdfast.limit_rules import LimitRules, checked_cost, checked_rule
from holdfast.policy.decision import LimitDecision
from holdfast.policy.keys import escape
from holdfast.policy.limit_fields import item_names
from holdfast.policy.quota import Quotas, quotas_of
from holdfast.starlette import exception_handlers, lifespan, session_of
from holdfast.starlette import install as install_handlers
from holdfast.typing import Duration
from holdfast.web.addresses import Trusted
from holdfast.web.limit_clients import Clients, checked_unknown, credential_of
from holdfast.web.limit_rule import Unknown
from holdfast.web.limit_strangers import Strangers
from holdfast.web.openapi import Operation, describe_limits

__all__ = ["Limit", "LimitRefused", "exception_handlers", "install", "lifespan", "limit", "session_of"]

By: TypeAlias = "str | Callable[..., Any] | None"
"""Nothing for the client's address, ``"header:NAME"``, or a dependency."""

_POLICY_VIOLATION: Final = 1008
_NOBODY: Final = "This request does not say who it is from, and what it asks for is limited for each client."
_HEADER: Final = "header:"


class LimitRefused(RateLimited, HTTPException):
    """What a limit raises: `RateLimited`, and an HTTPException so that an app without a handler answers 429, too."""

    def __init__(self, decision: LimitDecision, what: str) -> None:
        RateLimited.__init__(self, decision, what)
        problem = decision.problem()
        HTTPException.__init__(
            self, problem["status"], problem, {**dict(decision.headers()), "Cache-Control": "no-store"}
        )


def limit(
    quota: Quotas,
    *,
    by: By = None,
    cost: int | Callable[..., Any] = 1,
    scope: str | None = None,
    unknown: Unknown = "refuse",
    trusted: Trusted = (),
    hops: int | None = None,
    ipv6_prefix: int = 64,
    header: str | None = None,
    on_failure: OnLimitFailure = "open",
    budget: Duration = "100ms",
    shadow: bool = False,
    layer: Layer | None = None,
) -> Limit:
    """Return a dependency that limits requests, for ``Depends(limit("10/second"))`` on a route, a router or an app.

    Each route has quotas of its own, under its template and methods, whatever the path of a request; on a router or an
    app so has each route in it, unless `scope` names one quota for all. What a route is asked for beyond its quota is
    refused before its function runs, with `LimitRefused`; a websocket is refused before it is accepted. As a parameter
    of the function, the dependency's value is the `LimitDecision`.

    Args:
        quota: such as ``"10/second"`` or ``"10/second; burst=20, 1000/hour"``, all or nothing; or `Quota`.
        by: whose quota it is. None is the client, by its address; ``"header:X-API-Key"`` a field, of which only a
            digest is stored; or a dependency, async or not, with parameters as FastAPI solves them, that returns who
            it is, as text, number or UUID, or None for no limit.
        cost: units, or a dependency that returns how many.
        scope: a name; limits with the same one share their quotas, on whatever routes they are.
        unknown: what becomes of a request without address or field: ``"refuse"`` it with 400, let all of them
            ``"share"`` a quota, or ``"allow"`` them.
        trusted: proxies whose word is taken for who the client is, see `holdfast.web.client_identity`.
        hops: how many proxies there are, see there.
        ipv6_prefix: bits of an IPv6 address that count, see there.
        header: the one field that the proxies write, see there.
        on_failure: what to do if Redis cannot be asked: ``"open"`` admits, ``"closed"`` refuses with 503, ``"local"``
            counts in this process.
        budget: how long Redis may take before `on_failure` decides.
        shadow: only count and report, never refuse.
        layer: the layer; without it that of `install`, or else the default one at each request.

    Raises:
        ConfigurationError: an argument cannot work; the message names it.

    Example:
        >>> from fastapi import Depends, FastAPI
        >>> from holdfast.fastapi import install, limit
        >>> app = FastAPI()
        >>> install(app)
        >>> @app.get("/search", dependencies=[Depends(limit("10/second"))])
        ... async def search(q: str) -> list[str]:
        ...     return [q]
    """
    clients = Clients(trusted=trusted, hops=hops, ipv6_prefix=ipv6_prefix, header=header)
    return Limit(
        quota,
        by=_checked_by(by),
        cost=cost if callable(cost) else checked_cost(cost),
        scope=_checked_scope(scope),
        unknown=checked_unknown(unknown),
        clients=clients,
        rule=(on_failure, budget, shadow),
        layer=layer,
    )


class Limit:
    """A limit as a dependency; `limit` makes it, and explains what it is made of."""

    def __init__(
        self,
        quota: Quotas,
        *,
        by: By,
        cost: int | Callable[..., Any],
        scope: str | None,
        unknown: str,
        clients: Clients,
        rule: tuple[OnLimitFailure, Duration, bool],
        layer: Layer | None,
    ) -> None:
        self._quota = quotas_of(quota)
        self._names = item_names(self._quota)
        self._by, self._cost, self._scope = by, cost, scope
        self._unknown, self._clients = unknown, clients
        self._rule = checked_rule(*rule)
        self._has_layer, self._find_engine = layer is not None, engine_of(layer)
        self._rules: LimitRules | None = None
        self._strangers = Strangers()
        self.statuses = ("429",) if rule[0] == "open" else ("429", "503")
        """The statuses of its refusals, as OpenAPI has them."""
        self.__signature__ = _signature(by, cost)

    async def __call__(
        self, connection: HTTPConnection, response: Response, who: Any = None, units: Any = None
    ) -> LimitDecision | None:
        """Decide about a request, and tell in the fields of its response.

        Args:
            connection: the request or the websocket.
            response: FastAPI's, for fields.
            who: what the dependency `by` has returned.
            units: what the dependency `cost` has returned.

        Raises:
            LimitRefused: it goes beyond the quota. A websocket is refused with a WebSocketException.
        """
        told = Told.of(connection.scope)
        place = self._place(connection, told)
        name = self._name_of(connection, who)
        if name is None:
            return None
        rules = self._find_rules(connection)
        check = rules.check(self._quota, f"{place}:{name}")
        cost = checked_cost(units) if callable(self._cost) else self._cost
        decision = await rules.adecide(check, cost, self._rule)
        told.add(decision)
        if not decision.allowed:
            raise _refusal(connection, told.decision())
        response.headers.update(dict(told.fields()))
        return decision

    def _find_rules(self, connection: HTTPConnection) -> LimitRules:
        installed = None if self._has_layer else getattr(connection.app.state, "holdfast", None)
        engine: Engine = installed.engine if isinstance(installed, Layer) else self._find_engine()
        rules = self._rules
        if rules is None or rules.engine is not engine:
            rules = self._rules = LimitRules(engine)
        return rules

    def _place(self, connection: HTTPConnection, told: Told) -> str:
        """Return what the limit counts for: its scope, or the route.

        Several limits of one route with the same policies are told apart by their order, so that a router's
        ``"100/minute"`` and a route's ``"10/minute"`` do not count in one bucket.
        """
        if self._scope is not None:
            return f"scope:{self._scope}"
        number = 1 + max(told.seen.get(name, 0) for name in self._names)
        told.seen.update(dict.fromkeys(self._names, number))
        place = f"route:{_methods_of(connection)}:{template_of(connection.scope)}"
        return place if number == 1 else f"{place}:{number}"

    def _name_of(self, connection: HTTPConnection, who: Any) -> str | None:
        """Return whose quota it is, in a form in which nobody can be taken for another; None for no limit."""
        if callable(self._by):
            return None if who is None else f"by:{escape(_checked_who(who))}"
        if self._by is None:
            kind, found = "client", self._clients.identity(connection.client, connection.headers.items)
        else:
            kind, found = self._by.lower(), _digest_of(connection, self._by.lower().removeprefix(_HEADER))
        if found:
            return f"{kind}:{escape(found)}"
        if self._unknown == "refuse":
            self._strangers.note(self._explain(connection))
            if isinstance(connection, WebSocket):
                raise WebSocketException(_POLICY_VIOLATION, _NOBODY)
            raise HTTPException(400, _NOBODY)
        return "unknown:" if self._unknown == "share" else None

    def _explain(self, connection: HTTPConnection) -> str:
        if self._by is None:
            return self._clients.explain(connection.client, connection.headers)
        return f"limit(by={self._by!r}) counts by a field that is not there (see unknown=)"


def install(app: FastAPI, layer: Layer | None = None) -> None:
    """Prepare an app for limits and locks, before it has answered its first request.

    Errors are answered as `holdfast.starlette.exception_handlers` says. The fields of limits are on every response,
    also on those that a function returns as a Response. OpenAPI shows the refusals of exactly those routes that have a
    limit among their dependencies.

    Args:
        app: the app. A mounted app of FastAPI is another one.
        layer: for limits without a layer of their own; it is at ``app.state.holdfast`` then.

    Raises:
        ConfigurationError: it is no layer.
    """
    engine_of(layer)
    if layer is not None:
        app.state.holdfast = layer
    install_handlers(app)
    told: Any = ToldMiddleware  # to a type checker the classes of middleware have all the same options
    if any(each.cls is told for each in app.user_middleware):
        return
    app.add_middleware(told)
    app.user_middleware.append(app.user_middleware.pop(0))  # innermost: what the app says itself goes first
    describe = app.openapi

    def openapi() -> dict[str, Any]:
        schema = describe()
        describe_limits(schema, limited_operations(app))
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation says to extend it


def limited_operations(app: FastAPI) -> Iterator[tuple[Operation, Iterable[str]]]:
    """Return the operations of an app that have limits among their dependencies, with the statuses of these."""
    flat: Any = getattr(routing, "iter_route_contexts", iter)  # FastAPI has that since it keeps included routers apart
    for route in flat(app.routes):
        dependant = getattr(route, "dependant", None)
        statuses = sorted({status for each in _limits_in(dependant) for status in each.statuses})
        if statuses:
            for method in getattr(route, "methods", None) or ():
                yield (route.path_format, method), statuses


def _limits_in(dependant: Any) -> Iterator[Limit]:
    if dependant is None:
        return
    if isinstance(dependant.call, Limit):
        yield dependant.call
    for each in dependant.dependencies:
        yield from _limits_in(each)


def template_of(scope: Any) -> str:
    """Return the template of the route that a request has come to, with where the app is mounted."""
    outer = scope.get("app_root_path")
    if outer is not None and outer != scope.get("root_path", ""):
        # The route knows nothing of the mount, whose path may have parameters: ask the outermost routes.
        plain = {name: value for name, value in scope.items() if name != "fastapi"}
        return str(find_route({**plain, "app": scope.get("router"), "root_path": outer}))
    context = scope.get("fastapi", {}).get("effective_route_context")
    route = scope.get("route") if context is None else getattr(context, "starlette_route", None) or context
    return str(getattr(route, "path_format", None) or getattr(route, "path", None))


def _digest_of(connection: HTTPConnection, name: str) -> str:
    """Return what stands for the first line of a field, which is the one that Starlette takes; "" if there is none."""
    said = credential_of(name, connection.headers.get(name, ""))
    return sha256(said.encode("latin-1", "replace")).hexdigest()[:40] if said else ""


def _methods_of(connection: HTTPConnection) -> str:
    methods = getattr(connection.scope.get("route"), "methods", None)
    return "+".join(sorted(methods)) if methods else "websocket"


def _refusal(connection: HTTPConnection, decision: LimitDecision) -> Exception:
    if isinstance(connection, WebSocket):
        return WebSocketException(_POLICY_VIOLATION, decision.problem()["title"])
    return LimitRefused(decision, "this request")


def _signature(by: By, cost: int | Callable[..., Any]) -> Signature:
    """Return the parameters that FastAPI solves."""
    found: list[tuple[str, Any]] = [("connection", HTTPConnection), ("response", Response)]
    found += [("who", Annotated[Any, Depends(by)])] if callable(by) else []
    found += [("units", Annotated[Any, Depends(cost)])] if callable(cost) else []
    return Signature([Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in found])


def _checked_by(by: By) -> By:
    is_field = isinstance(by, str) and by.lower().startswith(_HEADER) and len(by) > len(_HEADER)
    if by is not None and not callable(by) and not is_field:
        msg = f"by={by!r} must be a dependency, such as a function that returns the user, or 'header:X-API-Key'"
        raise ConfigurationError(msg)
    return by


def _checked_who(who: Any) -> str:
    """Return who a dependency says it is, as text.

    A whole object will not do: its text changes with its data, and then its quota would be a new one.
    """
    if who == "":  # that would be one quota for all who are nobody
        raise ConfigurationError("by= returned text that is empty: return None for a request without a limit")
    if isinstance(who, bool) or not isinstance(who, str | int | UUID):
        msg = f"by= returned a {type(who).__name__}: return what stands for the client for good, such as user.id"
        raise ConfigurationError(msg)
    return str(who)


def _checked_scope(scope: str | None) -> str | None:
    if scope is not None and (not isinstance(scope, str) or not scope):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"scope={scope!r} must be a name that limits with the same quotas share, such as 'search', or None"
        raise ConfigurationError(msg)
    return scope
