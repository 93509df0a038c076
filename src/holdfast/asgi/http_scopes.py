"""An ASGI scope as the cache sees it, and as the app gets it."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote, unquote_to_bytes

from holdfast.policy.http.conditions import CONDITIONAL
from holdfast.policy.http.fields import Pairs
from holdfast.web.http_requests import UNQUOTED, UNUSUAL, Place, Places

Scope: TypeAlias = MutableMapping[str, Any]
RawFields: TypeAlias = list[tuple[bytes, bytes]]

_UNUSUAL: Final = frozenset(name.encode() for name in UNUSUAL)
_CONDITIONAL: Final = frozenset(name.encode() for name in CONDITIONAL)
_FILES: Final = ("http.response.pathsend", "http.response.zerocopysend")
"""Extensions by which an app sends a file that the middleware does not see."""


class ScopeFields:
    """The fields of a request, by name."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self._values = values

    def get(self, name: str, /) -> str | None:
        """Return the lines of a field, named in lower case, joined; None if it is absent."""
        value = self._values.get(name.encode("latin-1", "replace"))
        return None if value is None else value.decode("latin-1")


def fields_of(scope: Scope) -> dict[bytes, bytes]:
    """Return the fields of a request by name, several lines of one joined."""
    raw: RawFields = scope["headers"]
    if type(raw) is not list:  # any iterable is permitted, and may be one that can be read once
        raw = scope["headers"] = list(raw)
    values = dict(raw)
    return values if len(values) == len(raw) else _joined(raw)


def is_usual(values: dict[bytes, bytes]) -> bool:
    """Say whether a request has none of the fields that make it one to look at closely."""
    return _UNUSUAL.isdisjoint(values)


def place_of(scope: Scope, places: Places, values: dict[bytes, bytes]) -> Place | None:
    """Return where what is stored of a request's URL is; None if it cannot be told for certain what the URL is."""
    host = values.get(b"host")
    get = scope.get
    said = get("scheme", "http"), host, get("raw_path"), scope["path"], scope["query_string"], get("root_path")
    try:
        return places.known[said]
    except KeyError:
        return _find(scope, places, said, host)


def _find(scope: Scope, places: Places, said: tuple[object, ...], host: bytes | None) -> Place | None:
    if host is None:  # then the URL depends on more than what is remembered by
        said = (*said, scope.get("server"))
    authority = _server(scope) if host is None else host.decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    return places.find(said, scope.get("scheme", "http"), authority, _path(scope), query)


def _joined(raw: RawFields) -> dict[bytes, bytes]:
    """Return fields by name where some come in several lines; those of Cookie as HTTP/2 splits them."""
    values: dict[bytes, bytes] = {}
    for name, value in raw:
        if name in values:
            values[name] = values[name] + (b"; " if name == b"cookie" else b", ") + value
        else:
            values[name] = value
    return values


def _server(scope: Scope) -> str | None:
    """Return the authority of a request without Host, as HTTP/1.0 permits it."""
    server = scope.get("server")
    if not server or server[1] is None:
        return None
    host = f"[{server[0]}]" if ":" in server[0] else server[0]
    return f"{host}:{server[1]}"


def _path(scope: Scope) -> str:
    """Return the path as it was sent, where that is what the app is asked for, and otherwise as it would have been."""
    raw, path, root = scope.get("raw_path"), scope["path"], scope.get("root_path", "")
    # Some servers leave out where the app is mounted.
    before = "" if not root or path.startswith(root) else root
    if raw is not None:
        text: str = raw.partition(b"?")[0].decode("latin-1")
        # Somebody may have rewritten the path since: then the client's is not what the app is asked for.
        if unquote(text) == path or unquote_to_bytes(text) == path.encode("utf-8", "surrogateescape"):
            return quote(before, safe=UNQUOTED) + text
    return quote(before + path, safe=UNQUOTED, errors="surrogateescape")


def relayed(scope: Scope, conditions: Pairs | None) -> Scope:
    """Return the scope for the app: with our condition if there is one, without ways past the middleware.

    Args:
        scope: as the server made it.
        conditions: to send in place of the client's conditions and range; None = leave these.
    """
    extensions: dict[str, Any] = scope.get("extensions") or {}
    hides = any(name in extensions for name in _FILES)
    if conditions is None and not hides:
        return scope
    changed = dict(scope)
    if hides:
        changed["extensions"] = {name: value for name, value in extensions.items() if name not in _FILES}
    if conditions is not None:
        ours = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in conditions]
        changed["headers"] = [pair for pair in scope["headers"] if pair[0].lower() not in _CONDITIONAL] + ours
    return changed
