"""The route that will answer a request, asked of Starlette's and FastAPI's own routes before they are.

It is told by its template, such as ``/items/{item_id}``, with where it is mounted. No framework is imported: what looks
like a route is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

from holdfast.asgi.http_scopes import Scope

_FULL: Final = 2
"""What `matches` says of a route that answers; 1 is one that has another method."""
_DEEPEST: Final = 16
_MOST: Final = 10_000
_NOTHING: Final[tuple[Any, ...]] = ()


def find_route(scope: Scope, app: Any = None) -> str | None:
    """Return the template of the route that will answer a request; None if there is none, or nobody can tell.

    A route that fits but for the method answers, too: with 405.

    Args:
        scope: of the request. The app in it is asked, as Starlette puts it there.
        app: what to ask if there is none in the scope; what wraps it is looked through.
    """
    routes = _routes_of(scope.get("app")) or _routes_of(app)
    found = _search(routes, scope, _DEEPEST)
    outer = scope.get("app_root_path")
    if found is None and outer is not None and outer != scope.get("root_path", ""):
        # Inside of a mount: the path counts from the outermost app.
        found = _search(routes, {**scope, "root_path": outer}, _DEEPEST)
    if found is None:
        path = _template_of(scope.get("route"))
        return path or None
    return found[1] or "/"


def has_routes(scope: Scope, app: Any = None) -> bool:
    """Say whether anybody can be asked for the route of a request.

    Args:
        scope: of the request.
        app: see `find_route`.
    """
    return bool(_routes_of(scope.get("app")) or _routes_of(app) or scope.get("route"))


def templates_of(scope: Scope, app: Any = None) -> Iterable[str]:
    """Return all templates that `find_route` may return; nothing if nobody can tell.

    Args:
        scope: of the request.
        app: see `find_route`.
    """
    routes = _routes_of(scope.get("app")) or _routes_of(app)
    return frozenset(each or "/" for each in islice(_templates(routes, _DEEPEST), _MOST))


def root_of(app: Any) -> str:
    """Return where an app says itself that it is mounted, as those of FastAPI do; empty text if it does not.

    Args:
        app: what to ask; what wraps it is looked through.
    """
    for _ in range(_DEEPEST):
        root: Any = getattr(app, "root_path", None)
        if isinstance(root, str) and root:
            return root
        app = getattr(app, "app", None)
    return ""


def _templates(routes: Iterable[Any], depth: int) -> Iterator[str]:
    for route in _spread(routes) if depth else ():
        inner, start = _inner_routes(route), _start_of(route)
        if inner:
            yield f"{start}/*"
            yield from (start + each for each in _templates(inner, depth - 1))
        else:
            yield _template_of(route)


def _routes_of(app: Any) -> Iterable[Any]:
    """Return the routes of an app, also behind middleware that calls what it wraps `app`."""
    for _ in range(_DEEPEST):
        for holder in (app, getattr(app, "router", None)):
            routes = getattr(holder, "routes", None)
            if routes and not callable(routes):
                found: Iterable[Any] = routes
                return found
        app = getattr(app, "app", None)
        if app is None:
            break
    return _NOTHING


def _search(routes: Iterable[Any], scope: Scope, depth: int) -> tuple[bool, str] | None:
    """Return whether a route answers fully, and its template; None if none fits."""
    partial: tuple[bool, str] | None = None
    for route in _spread(routes) if depth else ():
        matches: Callable[[Any], tuple[Any, Any]] | None = getattr(route, "matches", None)
        if matches is None:
            continue
        match, child = matches(scope)
        level = getattr(match, "value", match)
        if not level:
            continue
        inner = _inner_routes(route)
        if inner:
            deeper = _search(inner, {**scope, **child}, depth - 1)
            return True, _start_of(route) + ("/*" if deeper is None else deeper[1])
        if level == _FULL:
            return True, _template_of(route)
        partial = partial or (False, _template_of(route))
    return partial


def _spread(routes: Iterable[Any]) -> Iterable[Any]:
    """Return routes, with those of included routers in their place, as FastAPI keeps them with their prefixes."""
    for route in routes:
        contexts: Any = getattr(route, "effective_route_contexts", None)
        if contexts is not None:
            for each in contexts():
                yield getattr(each, "starlette_route", None) or each
        else:
            yield route


def _inner_routes(route: Any) -> Iterable[Any]:
    """Return the routes of what is mounted."""
    inner = getattr(route, "routes", None)
    found: Iterable[Any] = inner if inner and not callable(inner) else _NOTHING
    return found


def _start_of(route: Any) -> str:
    """Return the template of where something is mounted; nothing for a host."""
    return str(getattr(route, "path", "") or "").rstrip("/")


def _template_of(route: Any) -> str:
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or "")
