"""Django's own middleware for sessions, but for what clients get while Redis cannot be used."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

from django.contrib.sessions.middleware import SessionMiddleware as DjangoSessionMiddleware

from holdfast.django.responses import response_of
from holdfast.errors import BackendError
from holdfast.web.web_sessions import unavailable


class SessionMiddleware(DjangoSessionMiddleware):
    """Django's `SessionMiddleware`, which answers 503 where a session cannot be read or stored now.

    Django's own lets that be a 500, whose page may be shown by a proxy for longer than the outage lasts. Requests that
    do not look at their session are served as ever.
    """

    def process_response(self, request: Any, response: Any) -> Any:
        """Store the session and set its cookie; return another response if that cannot be done."""
        if getattr(request.session, "is_barred", False):  # a view has met that, and Django made a 500 of it
            return response_of(unavailable(bodiless=request.method == "HEAD"))
        try:
            return super().process_response(request, response)  # pyright: ignore[reportUnknownVariableType] - untyped
        except BackendError:
            return response_of(unavailable(bodiless=request.method == "HEAD"))
