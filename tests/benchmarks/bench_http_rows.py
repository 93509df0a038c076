"""Who competes in which row about HTTP, and what is promised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench_http_bare import GREETING, UNCACHEABLE
from bench_http_load import Asking
from bench_http_trial import Kind
from bench_sync_subjects import OURS

BARE_ASGI: Final = "Starlette, bare"
BARE_WSGI: Final = "Flask, bare"
OURS_MEMORY: Final = "holdfast, `memory://`"
FASTAPI: Final = "FastAPI, bare"
NO_PEERS: Final = frozenset({OURS, OURS_MEMORY, FASTAPI})
"""Who is in a row, but nobody that we are compared with."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that serves the greeting."""

    builder: str
    """Module and function that make the app; what they take besides the port of Redis may follow, after colons."""
    server: str = "uvicorn"
    environment: tuple[str, ...] = ()
    """What to install into an environment of its own; empty: it shares the benchmark's."""
    bare: bool = False
    """Whether nothing is in front of the app."""


SUBJECTS: Final[Mapping[str, Subject]] = {
    BARE_ASGI: Subject("bench_http_bare:starlette", bare=True),
    FASTAPI: Subject("bench_http_bare:fastapi", bare=True),
    OURS: Subject("bench_http_ours:starlette"),
    OURS_MEMORY: Subject("bench_http_ours:starlette_memory"),
    "hishel": Subject("bench_http_peers:hishel"),
    "asgi-caches": Subject(
        "bench_http_peers:asgi_caches", environment=("asgi-caches==0.3.1", "async-caches", "aioredis<2", "hiredis")
    ),
    "fastapi-cache2": Subject(
        "bench_http_peers:fastapi_cache", environment=("fastapi-cache2[redis]==0.2.2", "jinja2", "hiredis")
    ),
    "fastapi-redis-sdk": Subject("bench_http_peers:fastapi_redis_sdk"),
    "cashews": Subject("bench_http_peers:cashews"),
    "cashews, with its middlewares": Subject("bench_http_peers:cashews_etag"),
}
WSGI_SUBJECTS: Final[Mapping[str, Subject]] = {
    BARE_WSGI: Subject("bench_http_bare:flask", "waitress", bare=True),
    OURS: Subject("bench_http_ours:flask", "waitress"),
    OURS_MEMORY: Subject("bench_http_ours:flask_memory", "waitress"),
    "Flask-Caching": Subject("bench_http_peers:flask_caching", "waitress"),
}


@dataclass(frozen=True, slots=True)
class HttpRow:
    """One row: what is asked, who answers, who competes, and over how many connections."""

    name: str
    kind: Kind
    asking: Asking
    subjects: Mapping[str, Subject]
    baseline: str
    connections: int
    target: float
    """The smallest ratio to the bare app's requests a second that we promise."""

    @property
    def against_peers(self) -> bool:
        """Whether a cache answers: elsewhere, peers do not do the same.

        Who takes no lease stores a miss sooner, and who invalidates nothing has nothing to do for a POST.
        """
        return self.kind in (Kind.HIT, Kind.MATCH)


def _asgi(name: str, kind: Kind, asking: Asking, target: float, *others: str) -> HttpRow:
    subjects = {each: SUBJECTS[each] for each in (BARE_ASGI, OURS, OURS_MEMORY, *others)}
    return HttpRow(f"ASGI, {name}", kind, asking, subjects, BARE_ASGI, 64, target)


def _wsgi(name: str, kind: Kind, asking: Asking, target: float, *others: str) -> HttpRow:
    subjects = {each: WSGI_SUBJECTS[each] for each in (BARE_WSGI, OURS, OURS_MEMORY, *others)}
    return HttpRow(f"WSGI, {name}", kind, asking, subjects, BARE_WSGI, 16, target)


_HIT = Asking(GREETING)
_NEW = Asking(GREETING, anew=True)
_PRIVATE = Asking(UNCACHEABLE)
_POST = Asking(GREETING, "POST")
_ENDPOINTS = ("fastapi-cache2", "fastapi-redis-sdk", "cashews")
ROWS: Final = (
    _asgi("a hit", Kind.HIT, _HIT, 1.5, FASTAPI, "hishel", "asgi-caches", *_ENDPOINTS),
    _asgi(
        "not modified",
        Kind.MATCH,
        _HIT,
        1.5,
        "fastapi-cache2",
        "fastapi-redis-sdk",
        "cashews, with its middlewares",
    ),
    _asgi("an uncacheable response", Kind.PASS, _PRIVATE, 0.85, "hishel"),
    _asgi("POST", Kind.PASS, _POST, 0.85, "hishel", "asgi-caches"),
    _asgi("a miss that is stored", Kind.MISS, _NEW, 0.85, FASTAPI, "hishel", "asgi-caches", *_ENDPOINTS),
    _wsgi("a hit", Kind.HIT, _HIT, 1.2, "Flask-Caching"),
    _wsgi("an uncacheable response", Kind.PASS, _PRIVATE, 0.85),
    _wsgi("POST", Kind.PASS, _POST, 0.85),
    _wsgi("a miss that is stored", Kind.MISS, _NEW, 0.85, "Flask-Caching"),
)
