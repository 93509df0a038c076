"""The two commonest requests once more, by a short way: a fresh hit, and a URL that is known not to be stored.

Each does what the long way does, and leaves to it whatever is not as expected. Inside a server half of a hit's time is
the code that is touched on its way, so there is little of it here: see the page of benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

from holdfast.asgi.http_scopes import RawFields
from holdfast.commands import Command, get
from holdfast.core.http_caching import HttpCaching
from holdfast.errors import BackendError
from holdfast.policy.http.fields import Fields
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.storing import reason_at_sight
from holdfast.policy.http.variants import Variant
from holdfast.port import Port

_MOST_SEEN: Final = 256
_TELLING: Final = frozenset({b"age", b"etag", b"expires", b"last-modified"})


class HotPage:
    """A page that has been served before, ready to be served again while Redis has the same bytes."""

    __slots__ = ("_born", "_fields", "_lifetime", "_status", "_told", "_when", "body", "command", "raw")

    def __init__(self, key: str, raw: bytes, variant: Variant, fields: RawFields, body: bytes) -> None:
        self.command: Command = get(key)
        self.raw = raw
        self.body = {"type": "http.response.body", "body": body}
        self._status = variant.stored.status
        self._fields = fields
        self._lifetime = variant.told.lifetime
        self._born = variant.stored.received, variant.told.initial_age
        self._when = -1, 0
        self._told: RawFields = []

    def head(self, now: float, hit: str) -> dict[str, Any] | None:
        """Return the head of the answer; None if the page is not fresh any more.

        Args:
            now: Unix seconds.
            hit: the Cache-Status up to its ttl; empty for none.
        """
        received, initial = self._born
        age = initial + (now - received if now > received else 0.0)
        left = self._lifetime - age
        if left <= 0:
            return None
        when = int(age), math.floor(left)
        if when != self._when:  # made anew once a second
            told: RawFields = [(b"age", b"%d" % when[0])]
            if hit:
                told.append((b"cache-status", f"{hit}{when[1]}".encode("latin-1")))
            self._when, self._told = when, told
        return {"type": "http.response.start", "status": self._status, "headers": self._fields + self._told}


async def send_hot(
    hot: HotPage, caching: HttpCaching, port: Port, send: Callable[[Any], Awaitable[None]], hit: str
) -> bool:
    """Serve a page if Redis still has it and it is fresh; say whether that was done."""
    try:
        raw = await port.call(hot.command)
    except BackendError:
        return False  # the long way tells of it
    if raw != hot.raw:
        return False
    head = hot.head(port.now(), hit)
    if head is None:
        return False
    caching.count_hit(hot.command.keys[0])
    await send(head)
    await send(hot.body.copy())
    return True


class Sight:
    """Tells of the heads of answers which plainly are not to be stored, by their bytes."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._telling = _TELLING | {name.encode() for name in rules.targets}
        self._seen: dict[bytes | None, bool] = {}

    def is_unstorable(self, status: int, fields: RawFields) -> bool:
        """Say whether an answer plainly is not to be stored; False if that takes a closer look."""
        said: bytes | None = None
        for name, value in fields:
            if name == b"cache-control":
                if said is not None:
                    return False
                said = value
            elif name in self._telling:
                return False
        if not 200 <= status < 300:
            return False
        try:
            return self._seen[said]
        except KeyError:
            pairs = [] if said is None else [("Cache-Control", said.decode("latin-1"))]
            found = reason_at_sight(200, Fields(pairs), self._rules) is not None
            if len(self._seen) < _MOST_SEEN:
                self._seen[said] = found
            return found


class PassingSend:
    """The `send` of an app whose answers are known not to be stored; one that might be goes the long way."""

    __slots__ = ("_detour", "_send", "_sight", "_status")

    def __init__(
        self,
        send: Callable[[Any], Awaitable[None]],
        sight: Sight,
        status: bytes,
        detour: Callable[[], Callable[[Any], Awaitable[None]]],
    ) -> None:
        self._send = send
        self._sight = sight
        self._status = status
        self._detour = detour

    async def __call__(self, message: Any) -> None:
        """Take a message of the app."""
        if message["type"] != "http.response.start":
            await self._send(message)
            return
        fields: RawFields = list(message.get("headers", ()))
        if not self._sight.is_unstorable(message["status"], fields):
            self._send = self._detour()
            await self._send(message)
            return
        if self._status:
            fields.append((b"cache-status", self._status))
        await self._send({**message, "headers": fields})
