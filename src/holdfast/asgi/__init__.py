"""Middleware for ASGI apps: Starlette, FastAPI, Django, Litestar, any callable."""

from __future__ import annotations

from holdfast.asgi.cache import CacheMiddleware
from holdfast.asgi.idempotency import IdempotencyMiddleware
from holdfast.asgi.limits import RateLimitMiddleware
from holdfast.asgi.sessions import SessionMiddleware

__all__ = ["CacheMiddleware", "IdempotencyMiddleware", "RateLimitMiddleware", "SessionMiddleware"]
