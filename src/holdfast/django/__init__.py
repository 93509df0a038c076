"""holdfast in Django: a cache backend, sessions, and middleware, over one Redis that `settings.HOLDFAST` names.

    CACHES           "BACKEND": "holdfast.django.HoldfastCache"
    SESSION_ENGINE   "holdfast.django.sessions"
    MIDDLEWARE       "holdfast.django.RateLimitMiddleware", "holdfast.django.IdempotencyMiddleware",
                     "holdfast.django.RefusalMiddleware", "holdfast.django.SessionMiddleware" in place of Django's
    INSTALLED_APPS   "holdfast.django": decorators such as `holdfast.cached` use the project's layer

Each part is loaded when it is first asked for. Nothing here reads the settings before Django needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from holdfast.django.cache import HoldfastCache
    from holdfast.django.idempotency import IdempotencyMiddleware
    from holdfast.django.layers import project_layer
    from holdfast.django.limits import RateLimitMiddleware
    from holdfast.django.refusals import RefusalMiddleware
    from holdfast.django.session_middleware import SessionMiddleware
    from holdfast.django.typed import idempotency_of, limit_of, session_of

__all__ = [
    "HoldfastCache",
    "IdempotencyMiddleware",
    "RateLimitMiddleware",
    "RefusalMiddleware",
    "SessionMiddleware",
    "idempotency_of",
    "limit_of",
    "project_layer",
    "session_of",
]

_PLACES: Final = {
    "HoldfastCache": "cache",
    "IdempotencyMiddleware": "idempotency",
    "RateLimitMiddleware": "limits",
    "RefusalMiddleware": "refusals",
    "SessionMiddleware": "session_middleware",
    "idempotency_of": "typed",
    "limit_of": "typed",
    "project_layer": "layers",
    "session_of": "typed",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(f"holdfast.django.{_PLACES[name]}"), name)
    msg = f"module 'holdfast.django' has no attribute {name!r}"
    raise AttributeError(msg)
