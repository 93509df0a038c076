"""Middleware for ASGI apps: Starlette, FastAPI, Django, Litestar, any callable."""

from __future__ import annotations

from holdfast.asgi.cache import CacheMiddleware

__all__ = ["CacheMiddleware"]
