"""What the middleware for WSGI and for ASGI share: no framework, no I/O."""

from __future__ import annotations

from holdfast.web.addresses import Proxies
from holdfast.web.http_requests import CacheRequest
from holdfast.web.identity import client_identity
from holdfast.web.limit_rule import LimitRule
from holdfast.web.requests import WebRequest

__all__ = ["CacheRequest", "LimitRule", "Proxies", "WebRequest", "client_identity"]
