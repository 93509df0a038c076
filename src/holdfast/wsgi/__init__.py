"""Middleware for WSGI apps: Flask, Django, any callable."""

from __future__ import annotations

from holdfast.wsgi.cache import CacheMiddleware

__all__ = ["CacheMiddleware"]
