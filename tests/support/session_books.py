"""What must be true of sessions, whatever the order of events: a model that sees every command and its reply.

secret   a session opens for its secret alone, and for the one before during the time of grace, to save
adopt    a session has a name that nobody has sent, and was made before it is there
back     what has ended is not there again
ttl      nothing stays for ever
expiry   a session lasts for its idle time, and never beyond its end
lost     what a request has done is done to what the others have stored, once, or the request has no session any more
reader   who writes nothing sends nothing but one look for each cookie
ended    a request that ends its session has ended it when it answers
second   a request with a secret that was replaced gets no session of its own
index    the sessions of a user are in the user's index for as long as they last
revoked  what is revoked has ended, also if its user was about to log in
listed   the list has what was there all the time
cookie   a browser gets the secret that was stored, and loses its cookie only when the session has ended
error    nothing else is raised
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from holdfast.commands import Command, Reply
from holdfast.policy.session_cookie import digest
from support.session_actors import SessionActor

if TYPE_CHECKING:
    from support.session_world import SessionWorld

PROMISES: Final = frozenset(
    [
        "secret",
        "adopt",
        "back",
        "ttl",
        "expiry",
        "lost",
        "reader",
        "ended",
        "second",
        "index",
        "revoked",
        "listed",
        "cookie",
        "error",
    ]
)


_SLOW: Final = 50.0
"""Seconds between entering the index and storing the session after which the index may be the first to end."""
_NOBODYS: Final = 1e20
"""Instead of an instant: perhaps nobody knows the secret of the session."""


@dataclass(slots=True)
class Book:
    """One session as it should be."""

    handle: str
    own: str
    user: str
    idle: float
    ends: float
    old: str = ""
    old_until: float = 0.0
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    gone: bool = False
    """Whether it has ended in any way."""
    user_since: float = 0.0
    entered: float = 0.0
    """When it was entered in the index of its user before it became the user's."""
    slow: bool = False
    """Whether it was told to last longer much later than the index was told."""

    def worth(self, secret: str, now: float) -> int:
        """Say what a digest is worth: 2 its own, 1 that of a moment ago, 0 nothing."""
        if self.gone:
            return 0
        if secret in ("", self.own):
            return 2
        return int(secret == self.old and now < self.old_until)


def apply(ops: list[tuple[str, Any]], data: dict[str, Any]) -> None:
    """Do to data what a request has done to its session."""
    for what, value in ops:
        if what in ("own", "last", "list"):
            data[f"own{value}" if what == "own" else what] = value
        elif what == "cart":
            data.setdefault("cart", {})[f"r{value}"] = value
        elif what == "tree":
            data.setdefault("tree", {}).setdefault("leaf", {})[f"r{value}"] = value
        elif what == "uncart":
            data.get("cart", {}).pop(value, None)
        elif what == "count":
            data["count"] = data.get("count", 0) + 1
        else:
            data.pop(value, None)


class Books:
    """The sessions there are."""

    def __init__(self, world: SessionWorld) -> None:
        self._world = world
        self.all: dict[str, Book] = {}
        self.entered: dict[tuple[str, str], float] = {}
        """When a session was entered in an index, by user and handle; the last time."""
        self.marked: dict[str, float] = {}
        """When all sessions of a user were revoked last."""

    def live(self, user: str = "") -> list[Book]:
        """Return the sessions that have not ended, of one user or of all."""
        return [each for each in self.all.values() if not each.gone and (not user or each.user == user)]

    def before(self, now: float) -> None:
        """Note what has run out."""
        for book in self.live():
            if self._world.redis.hash(self._world.key(book.handle)) is None:
                self._world.say("    ran out:", book.handle[:4])
                book.gone = True
                if now < min(book.ends, self._world.touched.get(book.handle, 0.0) + book.idle * 0.9) - 0.01:
                    self._world.broken("expiry", f"{book.handle} has gone too early")

    def executed(self, command: Command, reply: Reply, actor: SessionActor, now: float) -> None:
        """See that a command did what it should have done."""
        name, words = command.name, [str(word) if not isinstance(word, bytes) else word for word in command.words]
        if name == "SET":
            self.marked[str(words[1]).partition("{")[2].partition("}")[0]] = now
        seen = getattr(self, f"_{name}", None)
        if seen is not None:
            seen([word if isinstance(word, bytes) else str(word) for word in words[3:]], reply, actor, now)
        self._see_keys(now)

    def _book(self, key: Any) -> Book | None:
        return self.all.get(str(key).partition("{")[2].rstrip("}"))

    def _session_load(self, words: list[Any], reply: Reply, actor: SessionActor, now: float) -> None:
        book = self._book(words[0])
        wanted = book.worth(words[1], now) if book else 0
        if reply[0] != wanted:
            self._world.broken("secret", f"{actor.name} loads and gets {reply[0]}, not {wanted}")
        actor.superseded = actor.superseded or reply[0] == 1
        if book and reply[0] == 2:
            actor.superseded = False
            actor.loaded.add(book.handle)
            self._world.touched[book.handle] = now

    def _session_create(self, words: list[Any], reply: Reply, actor: SessionActor, now: float) -> None:
        handle = words[0].partition("{")[2].rstrip("}")
        if handle in self.all or handle in actor.given:
            self._world.broken("adopt", f"{actor.name} makes a session under {handle}, which is not new")
        if actor.superseded and not actor.logs_in:
            self._world.broken("second", f"{actor.name} came with a secret that was replaced, and gets a session")
        book = Book(handle, words[1], words[4], int(words[2]) / 1000, now + int(words[3]) / 1000)
        book.user_since, book.entered = now, self.entered.get((book.user, handle), 0.0)
        self._doubt(book, actor)
        self.all[handle] = book
        self._world.touched[handle] = now
        actor.secrets.add(words[1])
        if actor.anew:
            book.data = self._world.stored(handle)
        else:
            apply(actor.ops, book.data)
        self._see_data(book, actor)

    def _session_save(self, words: list[Any], reply: Reply, actor: SessionActor, now: float) -> None:
        book = self._book(words[0])
        worth = book.worth(words[1], now) if book else 0
        if reply[0] == 0:
            if worth or not book:
                self._world.broken("lost", f"{actor.name} saves to a session that is there, and is refused")
            actor.refused, actor.anew = "ended", True
            return
        if not worth or not book:
            self._world.broken("back", f"{actor.name} saves to a session that has ended, or without its secret")
            return
        if reply[0] == 3:
            actor.refused = "replaced"
            actor.anew = True
        if reply[0] != 1:
            return
        self._world.touched[book.handle] = now
        if words[2]:
            if worth != 2:
                self._world.broken("secret", f"{actor.name} replaces a secret that is not its own any more")
            book.old, book.own, book.old_until = book.own, words[2], now + int(words[3]) / 1000
            actor.secrets.add(words[2])
        if words[4] != "=":
            book.user, book.user_since = words[4][1:], now
            book.entered = self.entered.get((book.user, book.handle), 0.0)
            self._doubt(book, actor)
        book.idle = int(words[5]) / 1000 if words[5] else book.idle
        if words[6]:
            book.ends = now + int(words[6]) / 1000
            book.slow = now - self.entered.get((book.user, book.handle), now) > _SLOW
        apply(actor.ops, book.data)
        self._see_data(book, actor)

    def _doubt(self, book: Book, actor: SessionActor) -> None:
        """Note that perhaps nobody learns the secret, so that it does not matter what becomes of the session."""
        if actor.cancelled_in > 0:
            book.entered = _NOBODYS

    def _see_data(self, book: Book, actor: SessionActor) -> None:
        stored = self._world.stored(book.handle)
        if stored != book.data:
            self._world.broken("lost", f"after {actor.name} there is\n{stored}, not\n{book.data}")
        actor.saved = True

    def _session_finish(self, words: list[Any], reply: Reply, actor: SessionActor, now: float) -> None:
        book = self._book(words[0])
        if book and reply[0]:
            if words[1] not in ("", book.user):
                self._world.broken("secret", f"{actor.name} ends a session of another user's")
            book.gone = True
            self._world.say("    ended:", book.handle[:4])

    def _session_enter(self, words: list[Any], reply: Reply, actor: SessionActor, now: float) -> None:
        user = words[0].partition("{")[2].rstrip("}")
        self.entered[user, words[2]] = now

    def _see_keys(self, now: float) -> None:
        world = self._world
        for key, left in world.redis.left().items():
            if left < 0:
                world.broken("ttl", f"{key} never expires")
            if ":session:" not in key:
                continue
            book = self._book(key)
            if book is None:
                world.broken("adopt", f"{key} was made by nobody")
            elif book.gone:
                world.broken("back", f"{key} has ended, and is there")
            elif left > 1000 * min(book.idle, book.ends - now) + 2:
                world.broken("expiry", f"{key} has {left} ms left, and ends in {book.ends - now} s")

    def quiet(self, now: float) -> None:
        """See what must be true when nobody acts any more."""
        for book in self.live():
            if not book.user or book.entered == _NOBODYS:
                continue
            if book.entered < self.marked.get(book.user, 0.0):
                self._world.broken("revoked", f"{book.handle} was about to become {book.user}'s when all were revoked")
            key = f"{self._world.namespace}:session-user:{{{book.user}}}"
            index: Any = self._world.redis.hash(key) or {}
            until = index.get(book.handle.encode(), 0.0)
            if book.slow or (book.entered and book.user_since - book.entered > _SLOW):
                continue
            least = min(until / 1000, now + self._world.redis.left().get(key, 0) / 1000)
            if least < book.ends - 0.01:
                self._world.broken("index", f"{book.handle} of {book.user} ends {book.ends}, in the index {until}")

    def answered(self, actor: SessionActor, cookie: str | None, status: int) -> None:
        """See what must be true when a request is answered; `cookie` is empty where it is deleted."""
        world = self._world
        for handle in actor.ends:
            book = self.all.get(handle)
            if book and not book.gone:
                world.broken("ended", f"{actor.name} has ended {handle}, and it is there")
        is_lost = actor.ops and not actor.saved and not actor.superseded and actor.refused != "ended"
        if is_lost and status == 200:
            world.broken("lost", f"{actor.name} was answered, and nothing is stored of {actor.ops}")
        if cookie and digest(cookie.partition(".")[2]) not in actor.secrets:
            world.broken("cookie", f"{actor.name} gives a secret that was never stored")
        if cookie is None and any(book.own in actor.secrets for book in self.live()):
            world.broken("cookie", f"{actor.name} has a new secret, and gives none")
        if cookie == "" and any(not self.all[handle].gone for handle in actor.loaded):
            world.broken("cookie", f"{actor.name} deletes the cookie of a session that is there")
