"""Middleware for WSGI apps: Flask, Django, any callable."""

from __future__ import annotations

from holdfast.wsgi.cache import CacheMiddleware
from holdfast.wsgi.idempotency import IdempotencyMiddleware
from holdfast.wsgi.limits import RateLimitMiddleware
from holdfast.wsgi.sessions import SessionMiddleware

__all__ = ["CacheMiddleware", "IdempotencyMiddleware", "RateLimitMiddleware", "SessionMiddleware"]
