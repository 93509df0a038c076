"""A WSGI environ as the cache sees it, and as the app gets it."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from holdfast.policy.http.conditions import CONDITIONAL
from holdfast.policy.http.fields import Pairs
from holdfast.policy.http.request import Request
from holdfast.web.http_requests import UNQUOTED, UNUSUAL, Keying, Places

Environ: TypeAlias = dict[str, Any]

APART: Final = frozenset({"CONTENT_TYPE", "CONTENT_LENGTH"})
"""Where an environ has the fields that CGI has put apart."""


def variable(name: str) -> str:
    """Return where an environ has a field, named in lower case (RFC 3875, 4.1)."""
    plain = name.upper().replace("-", "_")
    return plain if plain in APART else f"HTTP_{plain}"


_UNUSUAL: Final = frozenset(map(variable, UNUSUAL))
_CONDITIONAL: Final = frozenset(map(variable, CONDITIONAL))


class EnvironFields:
    """The fields of a request, by name."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Environ) -> None:
        self._environ = environ

    def get(self, name: str, /) -> str | None:
        """Return the lines of a field, named in lower case, joined; None if it is absent."""
        value = self._environ.get(variable(name))
        return value if value is None else str(value)


def request_of(environ: Environ, keying: Keying, places: Places) -> Request | None:
    """Return a request as the cache judges it; None if the cache is not for it."""
    get = environ.get
    said = (
        get("wsgi.url_scheme", "http"),
        get("HTTP_HOST") or (get("SERVER_NAME"), get("SERVER_PORT")),
        get("REQUEST_URI") or get("RAW_URI"),
        get("SCRIPT_NAME"),
        get("PATH_INFO"),
        get("QUERY_STRING"),
    )
    try:
        place = places.known[said]
    except KeyError:
        place = places.find(said, str(said[0]), _host(environ), _path(environ), get("QUERY_STRING", ""))
    if place is None:
        return None
    usual = _UNUSUAL.isdisjoint(environ)
    return keying.request(environ["REQUEST_METHOD"], place, EnvironFields(environ), usual=usual)


def _host(environ: Environ) -> str | None:
    host: str | None = environ.get("HTTP_HOST")
    if host is not None:
        return host
    name, port = environ.get("SERVER_NAME"), environ.get("SERVER_PORT")
    return f"{name}:{port}" if name and port else None


def _path(environ: Environ) -> str:
    """Return the path as it was sent, where the server tells it, and otherwise as it would have been."""
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    sent: str | None = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if sent is not None and sent.startswith("/"):
        raw = sent.partition("?")[0]
        # Somebody may have rewritten the path since: then what the server got is not what the app is asked for.
        if raw == path or ("%" in raw and unquote_to_bytes(raw) == path.encode("latin-1", "replace")):
            return raw
    return quote(path.encode("latin-1", "replace"), safe=UNQUOTED)


def relayed(environ: Environ, conditions: Pairs | None) -> Environ:
    """Return the environ for the app: with our condition, if there is one, in place of the client's and its range."""
    if conditions is None:
        return environ
    changed = {name: value for name, value in environ.items() if name not in _CONDITIONAL}
    changed.update((variable(name), value) for name, value in conditions)
    return changed


def copied(environ: Environ) -> Environ:
    """Return a copy of an environ for a request without a client or a body, which may outlive the client's."""
    copy = dict(environ)
    copy["wsgi.input"] = BytesIO()
    copy.pop("CONTENT_LENGTH", None)
    copy.pop("HTTP_TRANSFER_ENCODING", None)
    copy.pop("wsgi.input_terminated", None)
    return copy
