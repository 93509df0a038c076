"""What type checkers must take of the glue to frameworks, as its pages show it. Checked by mypy and pyright, never run.

Each is in the words of the user's app, under the strictest rules.
"""

from __future__ import annotations

from typing import Any, assert_type

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

import holdfast.fastapi
from holdfast import Layer, LimitDecision, cache_response
from holdfast.asgi import CacheMiddleware, IdempotencyMiddleware, RateLimitMiddleware, SessionMiddleware
from holdfast.django import idempotency_of, limit_of, project_layer, session_of
from holdfast.idempotent_calls import IdempotentRun
from holdfast.starlette import exception_handlers, install, lifespan

layer = Layer("memory://")


class GoneError(Exception):
    """An error of the app."""


async def show_nothing(request: Request, error: Exception) -> Response:
    """A handler of the app."""
    return PlainTextResponse(str(error), 404)


starlette_app = Starlette(
    exception_handlers=exception_handlers,
    lifespan=lifespan(layer),
    middleware=[
        Middleware(RateLimitMiddleware, layer=layer, quota="100/minute"),
        Middleware(CacheMiddleware, layer=layer),
        Middleware(SessionMiddleware, layer=layer, same_site="Lax"),
        Middleware(IdempotencyMiddleware, layer=layer),
    ],
)
more = Starlette(exception_handlers={**exception_handlers, GoneError: show_nothing})
install(more)
more.add_middleware(SessionMiddleware, layer=layer, same_site="strict")

api = FastAPI(exception_handlers={**exception_handlers}, lifespan=lifespan(layer))
other = FastAPI(exception_handlers={**holdfast.fastapi.exception_handlers, GoneError: show_nothing})
holdfast.fastapi.install(other, layer)
other.add_middleware(CacheMiddleware, layer=layer)


@api.get("/offers")
@cache_response("1m", tags=["products"])
def offers() -> dict[str, int]:
    """A route with fields for caches."""
    return {"offers": 1}


def view(request: Any) -> str:
    """A view of Django."""
    assert_type(limit_of(request), LimitDecision | None)
    assert_type(idempotency_of(request), IdempotentRun | None)
    assert_type(project_layer(), Layer)
    session_of(request).change("visits", lambda visits: visits + 1, 0)
    return session_of(request).handle
