"""Ours: the same apps under the middlewares of holdfast, on Redis."""

from __future__ import annotations

from typing import Any

import bench_edge_bare as bare


def limited(port: int, limit: str) -> Any:
    """Return the Starlette app under the middleware, with a quota for each client's address."""
    return _limited(bare.starlette(port), port, limit)


def limited_fastapi(port: int, limit: str) -> Any:
    """Return the FastAPI app under the same."""
    return _limited(bare.fastapi(port), port, limit)


def _limited(app: Any, port: int, limit: str) -> Any:
    from holdfast import Quota
    from holdfast.asgi import RateLimitMiddleware

    return RateLimitMiddleware(app, layer=_layer(port, f"limit{limit}"), quota=Quota(int(limit), "1h"))


def limited_flask(port: int, limit: str) -> Any:
    """Return the Flask app under the middleware, with a quota for each client's address."""
    from holdfast import Quota
    from holdfast.wsgi import RateLimitMiddleware

    app = bare.flask(port)
    layer = _layer(port, f"limit{limit}")
    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, layer=layer, quota=Quota(int(limit), "1h"))
    return app


def session(port: int) -> Any:
    """Return the Starlette app with sessions under the middleware."""
    from holdfast.asgi import SessionMiddleware

    return SessionMiddleware(bare.starlette_session(port), layer=_layer(port, "session"))


def session_flask(port: int) -> Any:
    """Return the Flask app with sessions of the interface for Flask."""
    from holdfast.flask import Holdfast

    app = bare.flask_session()
    app.config["HOLDFAST_SESSIONS"] = True
    Holdfast(app, layer=_layer(port, "flask"))
    return app


def session_wsgi(port: int) -> Any:
    """Return the Flask app with sessions under the middleware that knows no framework."""
    from flask import request

    from holdfast.wsgi import SessionMiddleware

    app = bare.flask_session(lambda: request.environ["holdfast.session"])
    app.wsgi_app = SessionMiddleware(app.wsgi_app, layer=_layer(port, "wsgi"))
    return app


def idempotent(port: int) -> Any:
    """Return the Starlette app under the middleware that answers a repeated POST with the first result."""
    from holdfast.asgi import IdempotencyMiddleware

    return IdempotencyMiddleware(bare.starlette(port), layer=_layer(port, "idempotent"))


def _layer(port: int, namespace: str) -> Any:
    from holdfast import Layer

    return Layer(f"redis://127.0.0.1:{port}/0", namespace=f"bench-{namespace}")
