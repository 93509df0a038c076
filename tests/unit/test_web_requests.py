"""A request as users' functions see it: the same, whichever protocol it came by."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.asgi.requests import ScopeRequest
from holdfast.web import WebRequest
from holdfast.wsgi.requests import EnvironRequest

FIELDS = [("host", "shop.example"), ("content-type", "text/plain"), ("content-length", "5"), ("x-api-key", "abc")]


def _by_asgi() -> WebRequest:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "post",
        "scheme": "https",
        "path": "/shop/caf\u00e9",
        "root_path": "/shop",
        "query_string": b"a=1",
        "client": ("192.0.2.7", 4711),
        "headers": [(name.encode(), value.encode()) for name, value in FIELDS],
    }
    return ScopeRequest(scope)


def _by_wsgi() -> WebRequest:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "post",
        "wsgi.url_scheme": "https",
        "SCRIPT_NAME": "/shop",
        "PATH_INFO": "/caf\u00e9".encode().decode("latin-1"),
        "QUERY_STRING": "a=1",
        "REMOTE_ADDR": "192.0.2.7",
        "HTTP_HOST": "shop.example",
        "CONTENT_TYPE": "text/plain",
        "CONTENT_LENGTH": "5",
        "HTTP_X_API_KEY": "abc",
    }
    return EnvironRequest(environ)


@pytest.mark.parametrize("request_of", [_by_asgi, _by_wsgi])
def test_a_request_says_the_same(request_of: Any) -> None:
    """What the server puts apart is among the fields as everything else is."""
    request: WebRequest = request_of()
    assert (request.method, request.scheme, request.host) == ("POST", "https", "shop.example")
    assert (request.path, request.query) == ("/shop/caf\u00e9", "a=1")
    assert sorted(request.pairs()) == sorted(FIELDS)
    for name, value in FIELDS:
        assert request.get(name.title()) == value
        assert request.lines(name) == [value]
    assert (request.get("content-encoding"), request.lines("x-absent")) == (None, [])
    assert (request.find("session"), request.route, request.is_websocket) == (None, None, False)


def test_a_request_without_a_body() -> None:
    """Some servers name what is absent, with an empty text: that is no field."""
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "CONTENT_TYPE": "", "CONTENT_LENGTH": ""}
    assert list(EnvironRequest(environ).pairs()) == []
