"""What the parts of holdfast leave with a request of Django, with its type: Django's own types know none of it."""

# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.errors import ConfigurationError
from holdfast.idempotent_calls import IdempotentRun
from holdfast.policy.decision import LimitDecision

if TYPE_CHECKING:
    from holdfast.django.sessions import SessionStore


def session_of(request: Any) -> SessionStore:
    """Return ``request.session``, which has `change` and `handle` here.

    Args:
        request: of Django.

    Raises:
        ConfigurationError: it has no session, or one of another engine.
    """
    from holdfast.django.sessions import SessionStore  # Django's base wants settings

    session = getattr(request, "session", None)
    if not isinstance(session, SessionStore):
        msg = (
            "this request has no session of holdfast: put 'holdfast.django.SessionMiddleware' into MIDDLEWARE, and set "
            "SESSION_ENGINE = 'holdfast.django.sessions'"
        )
        raise ConfigurationError(msg)
    return session


def limit_of(request: Any) -> LimitDecision | None:
    """Return ``request.holdfast_limit``: what was decided; None where no limit is about the request.

    Args:
        request: of Django.
    """
    decision: LimitDecision | None = getattr(request, "holdfast_limit", None)
    return decision


def idempotency_of(request: Any) -> IdempotentRun | None:
    """Return ``request.holdfast_idempotency``: what is done once; None where the request has no key.

    Args:
        request: of Django.
    """
    run: IdempotentRun | None = getattr(request, "holdfast_idempotency", None)
    return run
