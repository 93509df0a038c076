"""How the sessions of a Django project are kept, by `settings.HOLDFAST["sessions"]`."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any, Final, NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from holdfast._durations import seconds
from holdfast.codec import Codec
from holdfast.core.sessions import SessionKeeping, Terms
from holdfast.django.layers import part_options, project_layer
from holdfast.engine import Engine
from holdfast.errors import ConfigurationError
from holdfast.sessions import GRACE, SERIALIZER

_ABSOLUTE: Final = "90d"
_OPTIONS: Final = frozenset({"absolute", "grace", "serializer"})


class SessionTerms(NamedTuple):
    """What a session store needs."""

    engine: Engine
    keeping: SessionKeeping
    codec: Codec
    times: Terms


_used: list[tuple[Engine, dict[str, Any], SessionTerms]] = []


def session_terms() -> SessionTerms:
    """Return what sessions are kept with: in the project's layer, by the settings of now.

    Raises:
        ImproperlyConfigured: an option cannot work.
    """
    engine = project_layer().engine
    given = part_options("sessions")
    unknown = sorted(set(given) - _OPTIONS)
    if unknown:
        msg = f"HOLDFAST['sessions'] has no option {unknown[0]!r}; it has {', '.join(sorted(_OPTIONS))}"
        raise ImproperlyConfigured(msg)
    given["idle"] = settings.SESSION_COOKIE_AGE
    if _used and _used[0][0] is engine and _used[0][1] == given:
        return _used[0][2]
    terms = _make(engine, given)
    _used[:] = [(engine, given, terms)]
    return terms


def _make(engine: Engine, given: dict[str, Any]) -> SessionTerms:
    try:
        idle = seconds(given["idle"], "SESSION_COOKIE_AGE")
        times = Terms(
            idle,
            max(idle, seconds(given.get("absolute", _ABSOLUTE), "absolute")),
            seconds(given.get("grace", GRACE), "grace", zero=True),
        )
        codec = engine.codec(given.get("serializer", SERIALIZER), None, Any)
    except ConfigurationError as error:
        msg = f"sessions cannot be set up: {error}"
        raise ImproperlyConfigured(msg) from error
    return SessionTerms(engine, engine.sessions, codec, times)
