"""What ``manage.py check`` says of the settings, which else shows when the first worker loads the project."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from holdfast.django.layers import project_layer
from holdfast.django.session_terms import session_terms

_ENGINE: Final = "holdfast.django.sessions"
_OURS: Final = "holdfast.django."


def check_settings(**_: Any) -> list[CheckMessage]:
    """Return an error for each part that is named in the settings and cannot work; nothing connects to Redis."""
    try:
        project_layer()
    except ImproperlyConfigured as error:  # every part would say the same
        return [_error("HOLDFAST", str(error))]
    parts = [_ENGINE] if settings.SESSION_ENGINE == _ENGINE else []
    parts += [each for each in settings.MIDDLEWARE if each.startswith(_OURS)]
    return [_error(part, complaint) for part in parts if (complaint := _complaint(part))]


def _error(part: str, complaint: str) -> CheckMessage:
    return Error(f"{part}: {complaint}", id="holdfast.E001")


def _complaint(part: str) -> str:
    """Return what is wrong with a part of the settings; nothing if it works."""
    try:
        if part != _ENGINE:
            return _complaint_of_middleware(import_string(part))
        session_terms()
    except (ImproperlyConfigured, ImportError) as error:
        return str(error)
    return ""


def _complaint_of_middleware(middleware: Any) -> str:
    """Return what is wrong with the options of a middleware, under WSGI and ASGI alike.

    What only works in one of them, such as functions that are async, is for the server to tell.
    """
    complaints: list[str] = []
    for get_response in (_respond, _respond_later):
        try:
            middleware(get_response)
        except ImproperlyConfigured as error:
            complaints.append(str(error))
    return complaints[-1] if len(complaints) > 1 else ""


def _respond(request: Any) -> Any:
    return None


async def _respond_later(request: Any) -> Any:
    return None
