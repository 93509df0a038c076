"""What is asked of sessions while the test of costs counts what that sends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final


async def _created(bench: Any, **options: Any) -> None:
    sessions = bench.colour.of(bench.layer.sessions)
    await bench.measure(lambda: sessions.create({"a": 1}, **options))


async def _opened(bench: Any, act: Callable[[Any], object] | None = None, **options: Any) -> None:
    """Load a session; with `act`, change it and save it, which alone is measured then."""
    sessions = bench.colour.of(bench.layer.sessions)
    session, cookie = await sessions.create({"a": 1, "b": [1]}, **options)
    if act is None:
        await bench.measure(lambda: sessions.open(cookie))
        return
    act(session)
    await bench.measure(lambda: sessions.save(session))


async def _contested(bench: Any) -> None:
    sessions = bench.colour.of(bench.layer.sessions)
    session, cookie = await sessions.create({"a": {}})
    other = await sessions.open(cookie)
    other["a"]["x"] = 1
    await sessions.save(other)
    session["a"]["y"] = 1
    await bench.measure(lambda: sessions.save(session))


async def _listed(bench: Any, verb: str) -> None:
    sessions = bench.colour.of(bench.layer.sessions)
    for _ in range(2):
        session, _cookie = await sessions.create(user="42")
    await bench.measure(lambda: getattr(sessions, verb)(session.handle if verb == "revoke" else "42"))


SESSIONS: Final[dict[str, Callable[[Any], Awaitable[None]]]] = {
    "session, loaded": _opened,
    "session, unchanged": lambda bench: _opened(bench, lambda session: session["b"]),
    "session, changed": lambda bench: _opened(bench, lambda session: session["b"].append(2)),
    "session, another has changed the same": _contested,
    "session, new": _created,
    "session, new, of a user": lambda bench: _created(bench, user="42"),
    "session, rotated": lambda bench: _opened(bench, lambda session: session.rotate()),
    "session, logged in": lambda bench: _opened(bench, lambda session: session.log_in("42")),
    "session, ended": lambda bench: _opened(bench, lambda session: session.end()),
    "session, ended, of a user": lambda bench: _opened(bench, lambda session: session.end(), user="42"),
    "`sessions.list` of two": lambda bench: _listed(bench, "list"),
    "`sessions.revoke`": lambda bench: _listed(bench, "revoke"),
    "`sessions.revoke_all` of two": lambda bench: _listed(bench, "revoke_all"),
}
