"""A reverse proxy as a WSGI app, with our cache between it and the server; see `bench_conformance_asgi`."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from bench_conformance_asgi import HOP_BY_HOP, PATIENCE

_PIECE: Final = 65536
"""Bytes read at once."""


def build(origin: int, redis: int, options: dict[str, Any]) -> Any:
    """Return the app: the proxy to an origin's port, under our cache with its options."""
    from holdfast import Layer
    from holdfast.wsgi import CacheMiddleware

    cached = CacheMiddleware(proxy_to(origin), layer=Layer(f"redis://127.0.0.1:{redis}/0"), **options)

    def app(environ: Any, start_response: Any) -> Any:
        def pass_on(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            return start_response(status, [pair for pair in headers if pair[0].lower() not in HOP_BY_HOP], exc_info)

        return cached(environ, pass_on)

    return app


def proxy_to(origin: int) -> Any:
    """Return an app that asks the origin on a loopback port, over a new connection each time."""

    def proxy(environ: Any, start_response: Any) -> Iterator[bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", origin, timeout=PATIENCE)
        try:
            _send(connection, environ)
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        start_response(f"{response.status} {response.reason}", list(response.msg.items()))
        return _body(connection, response)

    return proxy


def _send(connection: http.client.HTTPConnection, environ: Any) -> None:
    path = quote(environ["PATH_INFO"], safe="/:@!$&'()*+,;=", encoding="latin-1")
    target = path + ("?" + environ["QUERY_STRING"] if environ.get("QUERY_STRING") else "")
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length) if length else None
    connection.putrequest(environ["REQUEST_METHOD"], target, skip_host=True, skip_accept_encoding=True)
    for name, value in _fields(environ):
        if name.lower() not in HOP_BY_HOP | {"proxy-connection"}:
            connection.putheader(name, value)
    connection.putheader("Connection", "close")
    if body:
        connection.putheader("Content-Length", str(length))
    connection.endheaders(body)


def _fields(environ: Any) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key.removeprefix("HTTP_").replace("_", "-"), value
    if environ.get("CONTENT_TYPE"):
        yield "Content-Type", environ["CONTENT_TYPE"]


def _body(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> Iterator[bytes]:
    try:
        while piece := response.read(_PIECE):
            yield piece
    finally:
        connection.close()
