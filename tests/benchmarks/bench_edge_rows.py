"""Who competes in which row about limits and sessions, and what is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from bench_edge_trial import PLENTY, SMALL, Kind
from bench_http_rows import BARE_ASGI, BARE_WSGI, FASTAPI, Subject
from bench_sync_subjects import OURS

OURS_FASTAPI: Final = "holdfast, around FastAPI"
OURS_WSGI: Final = "holdfast, `wsgi.SessionMiddleware`"
NO_PEERS: Final = frozenset({OURS, OURS_FASTAPI, OURS_WSGI, FASTAPI})
"""Who is in a row, but nobody that we are compared with."""

_BARE: Final = {BARE_ASGI: Subject("bench_edge_bare:starlette", bare=True)}
_BARE_WSGI: Final = {BARE_WSGI: Subject("bench_edge_bare:flask", "waitress", bare=True)}
_FASTAPI: Final = {FASTAPI: Subject("bench_edge_bare:fastapi", bare=True)}
LIMITS: Final[Mapping[str, Subject]] = {
    OURS: Subject("bench_edge_ours:limited"),
    OURS_FASTAPI: Subject("bench_edge_ours:limited_fastapi"),
    "slowapi": Subject("bench_edge_peers:slowapi"),
    "slowapi, decorator": Subject("bench_edge_peers:slowapi_decorator"),
    "fastapi-limiter": Subject("bench_edge_peers:fastapi_limiter"),
    "fastapi-limiter 0.1": Subject(
        "bench_edge_peers:fastapi_limiter_redis", environment=("fastapi-limiter==0.1.6", "hiredis")
    ),
    "fastapi-redis-sdk": Subject("bench_edge_peers:fastapi_redis_sdk"),
}
LIMITS_WSGI: Final[Mapping[str, Subject]] = {
    OURS: Subject("bench_edge_ours:limited_flask", "waitress"),
    "Flask-Limiter": Subject("bench_edge_peers:flask_limiter", "waitress"),
}
SESSIONS: Final[Mapping[str, Subject]] = {
    OURS: Subject("bench_edge_ours:session"),
    "starsessions": Subject("bench_edge_peers:starsessions"),
    "fastapi-redis-sdk": Subject("bench_edge_peers:fastapi_redis_sdk_session"),
}
SESSIONS_WSGI: Final[Mapping[str, Subject]] = {
    OURS: Subject("bench_edge_ours:session_flask", "waitress"),
    OURS_WSGI: Subject("bench_edge_ours:session_wsgi", "waitress"),
    "Flask-Session": Subject("bench_edge_peers:flask_session", "waitress"),
}
_IDEMPOTENT: Final = {OURS: Subject("bench_edge_ours:idempotent")}


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """One row: what happens at the edge, who competes, and over how many connections."""

    name: str
    kind: Kind
    subjects: Mapping[str, Subject]
    baseline: str
    connections: int
    target: float = 0.0
    """The smallest ratio to the bare app's requests a second that we promise; 0: none."""
    against_peers: bool = True
    """Whether we are to be faster than every peer."""


def with_limit(subject: Subject, limit: int) -> Subject:
    """Return the same contender with so much permitted in an hour; the bare app permits everything."""
    return subject if subject.bare else replace(subject, builder=f"{subject.builder}:{limit}")


def _limits(subjects: Mapping[str, Subject], limit: int) -> dict[str, Subject]:
    return {name: with_limit(each, limit) for name, each in subjects.items()}


def _asgi(name: str, kind: Kind, subjects: Mapping[str, Subject], target: float = 0.0) -> EdgeRow:
    return EdgeRow(f"ASGI, {name}", kind, {**_BARE, **subjects}, BARE_ASGI, 64, target)


def _wsgi(name: str, kind: Kind, subjects: Mapping[str, Subject], target: float = 0.0) -> EdgeRow:
    return EdgeRow(f"WSGI, {name}", kind, {**_BARE_WSGI, **subjects}, BARE_WSGI, 16, target)


ROWS: Final = (
    _asgi("a limit on every request", Kind.ADMITTED, {**_FASTAPI, **_limits(LIMITS, PLENTY)}, 0.60),
    _asgi("a refused client", Kind.REFUSED, {**_FASTAPI, **_limits(LIMITS, SMALL)}),
    _asgi("a session that is read", Kind.READ, {**_FASTAPI, **SESSIONS}, 0.60),
    _asgi("a session that is changed", Kind.CHANGED, {**_FASTAPI, **SESSIONS}),
    _asgi("POST with an idempotency key", Kind.FIRST, _IDEMPOTENT),
    _wsgi("a limit on every request", Kind.ADMITTED, _limits(LIMITS_WSGI, PLENTY), 0.85),
    _wsgi("a refused client", Kind.REFUSED, _limits(LIMITS_WSGI, SMALL)),
    _wsgi("a session that is read", Kind.READ, SESSIONS_WSGI),
    _wsgi("a session that is changed", Kind.CHANGED, SESSIONS_WSGI),
)
