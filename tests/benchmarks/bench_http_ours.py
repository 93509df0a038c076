"""Ours: the same apps under the middlewares of holdfast, on Redis and in the process."""

from __future__ import annotations

from typing import Any

import bench_http_bare as bare


def starlette(port: int) -> Any:
    """Return the Starlette app under the middleware, on Redis."""
    return _over_asgi(f"redis://127.0.0.1:{port}/0")


def starlette_memory(_port: int) -> Any:
    """Return the Starlette app under the middleware, with a store in the process."""
    return _over_asgi("memory://")


def flask(port: int) -> Any:
    """Return the Flask app under the middleware, on Redis."""
    return _over_wsgi(f"redis://127.0.0.1:{port}/0")


def flask_memory(_port: int) -> Any:
    """Return the Flask app under the middleware, with a store in the process."""
    return _over_wsgi("memory://")


def _over_asgi(url: str) -> Any:
    from holdfast import Layer
    from holdfast.asgi import CacheMiddleware

    return CacheMiddleware(bare.starlette(0), layer=Layer(url, namespace="bench"))


def _over_wsgi(url: str) -> Any:
    from holdfast import Layer
    from holdfast.wsgi import CacheMiddleware

    app = bare.flask(0)
    app.wsgi_app = CacheMiddleware(app.wsgi_app, layer=Layer(url, namespace="bench"))
    return app
