"""Django's own middleware for sessions, but for what caches are told, and what clients get while Redis is away."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware

from holdfast.django.responses import pairs_of, response_of
from holdfast.errors import BackendError
from holdfast.web.session_fields import UNKEPT, is_for_caches
from holdfast.web.web_sessions import unavailable


class SessionMiddleware(DjangoSessionMiddleware):
    """Django's `SessionMiddleware`, which answers 503 where a session cannot be read or stored now.

    Django's own lets that be a 500, whose page may be shown by a proxy for longer than the outage lasts. Requests that
    do not look at their session are served as ever.

    A response that depends on a session is ``Cache-Control: private`` as well, unless it says something itself, and one
    that sets the cookie is ``no-store``, whatever it says. Django's own leaves it at ``Vary: Cookie``, so that a cache
    which many share could give a session away.
    """

    def process_response(self, request: Any, response: Any) -> Any:
        """Store the session and set its cookie; return another response if that cannot be done."""
        depends = getattr(request.session, "accessed", False)
        if getattr(request.session, "is_barred", False):  # a view has met that, and Django made a 500 of it
            return response_of(unavailable(bodiless=request.method == "HEAD"))
        try:
            answer = cast("Any", super().process_response(request, response))
        except BackendError:
            return response_of(unavailable(bodiless=request.method == "HEAD"))
        if settings.SESSION_COOKIE_NAME in answer.cookies:  # also one that takes it away
            for name in [each for each, _ in pairs_of(answer) if is_for_caches(each.lower())]:
                del answer[name]
            answer["Cache-Control"] = UNKEPT
        elif depends and not answer.has_header("Cache-Control"):
            answer["Cache-Control"] = "private"
        return answer
