"""One run: browsers that send requests at the same time, over both middlewares, and others who reach into sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, Final

from holdfast import Layer
from holdfast.asgi import SessionMiddleware as AsgiSessions
from holdfast.core.session import Session
from holdfast.errors import SessionError
from holdfast.policy.session_cookie import parse_id
from holdfast.wsgi import SessionMiddleware as WsgiSessions
from support.http_clients import AppError, environ_of, scope_of
from support.model.broken import Broken
from support.session_actors import SessionActor, TaskActor, ThreadActor
from support.session_world import SessionWorld

IDLE: Final = 100.0
ABSOLUTE: Final = 130.0
_OWN: Final = ("own", "cart", "tree", "uncart", "count", "last", "list", "del last", "del cart")
_ENDINGS: Final = ("", "", "", "", "rotate", "rotate", "log_in", "log_in", "log_in", "end", "clear and write", "longer")
_ODD: Final = ("", "x", "..", "a" * 66, "é" * 22 + "." + "b" * 43, "{}" * 11 + "." + "c" * 43, "z" * 9000)


class Browser:
    """Keeps the last cookie that it got, and remembers those before."""

    def __init__(self) -> None:
        self.cookie = ""
        self.before: list[str] = []

    def sends(self, chance: Random) -> str:
        """Return the Cookie field of the next request; empty: none."""
        kind = chance.random()
        if kind < 0.74 or not self.before:
            values = [self.cookie] if self.cookie else []
        elif kind < 0.85:
            values = [chance.choice(self.before)]
        elif kind < 0.89:
            values = [chance.choice(self.before), self.cookie]
        elif kind < 0.93:
            values = [chance.choice(self.before).partition(".")[0] + "." + "A" * 43]
        elif kind < 0.96:
            values = [chance.choice(_ODD), "B" * 22 + "." + "C" * 43]
        else:
            values = []
        return "; ".join(f"session={value}" for value in values if value)

    def gets(self, cookie: str) -> None:
        """Take a Set-Cookie; an empty one deletes it."""
        self.cookie = cookie
        if cookie and cookie not in self.before:
            self.before.append(cookie)


class Play:
    """One run; see `play`."""

    def __init__(self, world: SessionWorld, layer: Layer) -> None:
        self.world = world
        self.layer = layer
        self.chance = world.chance
        self.asgi = AsgiSessions(self._asgi, layer=layer, idle=IDLE, absolute=ABSOLUTE)
        self.wsgi = WsgiSessions(self._wsgi, layer=layer, idle=IDLE, absolute=ABSOLUTE)
        self.browsers = [Browser() for _ in range(self.chance.choice((1, 1, 2)))]
        self.plans: dict[SessionActor, list[str]] = {}
        self._names: dict[SessionActor, int] = {}
        self._longer = world.skew <= 0

    def run(self) -> None:
        """Begin with a session in most runs; then all at once."""
        if self.chance.random() < 0.85:
            first = self._request(self.browsers[0], ["own", "cart", "last", "list", "count", "tree"])
            if self.chance.random() < 0.4:
                self.plans[first].append("log_in")
            while not first.over:
                self.world.step(first)
            self._check(first)
        for _ in range(self.chance.choice((2, 3, 3, 4, 5, 6))):
            actor = self._other() if self.chance.random() < 0.25 else self._request(self.browser(), self._plan())
            actor.rank = self.chance.random()
            self.world.actors.append(actor)
        everybody = list(self.world.actors)
        self.world.run()
        for actor in everybody:
            self._check(actor)

    def browser(self) -> Browser:
        """Return one of them."""
        return self.chance.choice(self.browsers)

    def _check(self, actor: SessionActor) -> None:
        error = actor.error
        if error is None or isinstance(error, AppError | asyncio.CancelledError):
            return
        if isinstance(error, SessionError) and (actor.refused == "ended" or "no such session" in str(error)):
            return
        if isinstance(error, SessionError) and actor.refused == "" and "revoked" in str(error):
            return
        self.world.broken("error", f"{actor.name} raised {error!r}")

    # What requests do.

    def _plan(self) -> list[str]:
        chance = self.chance
        if chance.random() < 0.25:
            return []
        found = chance.sample(_OWN, chance.choice((1, 1, 2, 3)))
        if "del last" in found and "last" in found:
            found.remove("last")
        if "del cart" in found:
            found = [each for each in found if each not in ("cart", "uncart")]
        ending = chance.choice(_ENDINGS)
        if ending and (ending != "longer" or self._longer):
            found.insert(chance.choice((0, len(found))), ending)
        if chance.random() < 0.04:
            found.append("fail")
        return found

    def _acts(self, actor: SessionActor, session: Session) -> Iterator[None]:
        """Do what is planned, with a pause before each thing."""
        plan, number = self.plans[actor], self._names[actor]
        if not plan:
            for _ in range(self.chance.choice((1, 2, 8))):
                yield
                dict(session)
                session.get("cart", {}).get("r1")
        for what in plan:
            yield
            if what == "fail":
                raise AppError
            if what in _OWN:
                _act(actor, session, what, number)
            else:
                self._end(actor, session, what, number)
        yield

    def _end(self, actor: SessionActor, session: Session, what: str, number: int) -> None:
        handle = session.handle
        user = self.chance.choice("uuuv")
        if what in ("end", "clear and write") or (what == "log_in" and session.user not in (None, user)):
            actor.ops, actor.ends = [], actor.ends | ({handle} if handle else set())
        if what == "end":
            session.end()
        elif what == "clear and write":
            session.clear()
            _act(actor, session, "own", number)
        elif what == "log_in":
            session.log_in(user)
            actor.logs_in = True
        elif what == "rotate":
            session.rotate()
        else:
            session.expire_after(idle=150, absolute=250)

    # The two kinds of apps.

    def _request(self, browser: Browser, plan: list[str]) -> SessionActor:
        number, is_async = len(self.plans) + 1, self.chance.random() < 0.7
        words = "+".join(plan) or "reads"
        actor = TaskActor(f"asgi{number} {words}") if is_async else ThreadActor(f"wsgi{number} {words}")
        self.plans[actor], self._names[actor] = plan, number
        actor.is_reader = not plan
        if isinstance(actor, TaskActor):
            actor.work = self._ask_asgi(actor, browser)
        elif isinstance(actor, ThreadActor):
            actor.work = lambda: self._ask_wsgi(actor, browser)
        return actor

    def _sent(self, actor: SessionActor, browser: Browser) -> tuple[tuple[str, str], ...]:
        cookie = browser.sends(self.chance)
        found = [parse_id(part.partition("=")[2]) for part in cookie.split("; ")]
        actor.given = {each.handle for each in found if each}
        self.world.say(actor.name, "begins with", cookie[:40])
        return (("Cookie", cookie),) if cookie else ()

    def _answered(self, actor: SessionActor, browser: Browser, fields: list[tuple[str, str]], status: int) -> None:
        found = [value for name, value in fields if name.lower() == "set-cookie"]
        cookie = found[0].partition(";")[0].partition("=")[2] if found else None
        self.world.books.answered(actor, cookie, status)
        if cookie is not None:
            browser.gets(cookie)

    async def _ask_asgi(self, actor: TaskActor, browser: Browser) -> None:
        scope = scope_of("GET", "/", self._sent(actor, browser))
        scope["actor"] = actor
        if self.chance.random() < 0.05:
            actor.cancelled_in = self.chance.randrange(1, 12)
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)
            await actor.pause()

        await self.asgi(scope, None, send)
        fields = [(name.decode(), value.decode()) for name, value in messages[0]["headers"]]
        self._answered(actor, browser, fields, messages[0]["status"])

    async def _asgi(self, scope: Any, _: Any, send: Any) -> None:
        actor = scope["actor"]
        for _ in self._acts(actor, scope["session"]):
            await actor.pause()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _ask_wsgi(self, actor: ThreadActor, browser: Browser) -> None:
        environ = environ_of("GET", "/", self._sent(actor, browser))
        environ["actor"] = actor
        started: list[Any] = []
        body: Any = self.wsgi(environ, lambda *head: started.append(head))
        for _ in body:
            actor.park()
        self._answered(actor, browser, started[0][1], int(started[0][0][:3]))

    def _wsgi(self, environ: Any, start_response: Any) -> Any:
        actor = environ["actor"]
        lazy = self._lazy(environ, start_response)
        return lazy if self._names[actor] % 2 else list(lazy)

    def _lazy(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        actor = environ["actor"]
        for _ in self._acts(actor, environ["holdfast.session"]):
            actor.park()
        start_response("200 OK", [])
        yield b"done"

    # Those who have no request.

    def _other(self) -> SessionActor:
        number, chance = len(self.plans) + 1, self.chance
        kind = chance.choice(("edit", "edit", "revoke", "revoke_all", "revoke_all", "revoke_all", "list"))
        actor = TaskActor(f"{kind}{number}")
        self.plans[actor], self._names[actor] = [kind], number
        actor.work = getattr(self, f"_{kind}")(actor, number)
        return actor

    async def _some(self, actor: TaskActor) -> str:
        await actor.pause()
        books = list(self.world.books.all)
        return self.chance.choice(books) if books else "D" * 22

    async def _edit(self, actor: TaskActor, number: int) -> None:
        handle = await self._some(actor)
        async with self.layer.sessions.edit(handle) as session:
            for what in self.chance.sample(("own", "cart", "count", "list"), 2):
                await actor.pause()
                _act(actor, session, what, number)

    async def _revoke(self, actor: TaskActor, _: int) -> None:
        handle = await self._some(actor)
        await self.layer.sessions.arevoke(handle)
        book = self.world.books.all.get(handle)
        if book and not book.gone:
            self.world.broken("revoked", f"{actor.name} has revoked {handle}, and it is there")

    async def _revoke_all(self, actor: TaskActor, _: int) -> None:
        await actor.pause()
        books = self.world.books
        before = [book.handle for book in books.live("u")]
        await self.layer.sessions.arevoke_all("u")
        for handle in before:
            if not books.all[handle].gone and books.all[handle].user == "u":
                self.world.broken("revoked", f"{actor.name} has revoked all of u, and {handle} is there")

    async def _list(self, actor: TaskActor, _: int) -> None:
        await actor.pause()
        books = self.world.books
        before = {book.handle for book in books.live("u") if book.user_since < self.world.time}
        found = {each.handle for each in await self.layer.sessions.alist("u")}
        there = {book.handle for book in books.live("u")}
        if not before & there <= found:
            self.world.broken("listed", f"{before & there} are there, and the list is {found}")
        if not found <= before | {book.handle for book in books.all.values() if book.user_since}:
            self.world.broken("listed", f"{found} are not all u's")


def _act(actor: SessionActor, session: Session, what: str, number: int) -> None:
    """Change a session, and note what was done to it."""
    if what in ("own", "last"):
        session[f"own{number}" if what == "own" else what] = number
    elif what == "cart":
        session.setdefault("cart", {})[f"r{number}"] = number
    elif what == "tree":
        session.setdefault("tree", {}).setdefault("leaf", {})[f"r{number}"] = number
    elif what == "count":
        session.change("count", lambda count: count + 1, 0)
    elif what == "list":
        session.setdefault("list", []).append(number)
        actor.ops.append(("list", list(session["list"])))
        return
    elif what == "uncart":
        names = [name for name in session.get("cart", {}) if name != f"r{number}"]
        if names:
            del session["cart"][names[0]]
            actor.ops.append(("uncart", names[0]))
        return
    else:
        name = what.removeprefix("del ")
        if name in session:
            del session[name]
            actor.ops.append(("del", name))
        return
    actor.ops.append((what, number))


@cache
def _layer() -> Layer:
    return Layer("memory://session-model", namespace="model")


def play(seed: int, **options: Any) -> SessionWorld:
    """Run once; the same seed gives the same run.

    Raises:
        Broken: a promise was broken; `told` has the log.
    """
    layer = _layer()
    world = SessionWorld(Random(f"sessions:{seed}"), layer, **options)
    try:
        Play(world, layer).run()
    except Broken as broken:
        broken.log = world.log
        raise
    finally:
        world.close()
    return world


def told(seed: int, **options: Any) -> str:
    """Return the log of a run, and what came of it."""
    try:
        world = play(seed, verbose=True, **options)
    except Broken as broken:
        return "\n".join([*broken.log, str(broken)])
    return "\n".join([*world.log, "every promise held"])
