"""One request that goes to the app: what its answer does to the store, and what the client gets.

The middleware tells what the app does, in this order; each exchange ends with one of the last three:

    head        the app has begun to answer; the reply says whether the answer goes to the client
    feed        a piece of its body
    complete    the body is complete: what is to be stored is stored before the client has the end of it
    conclude    instead, where the client gets another response than the app's: returns that
    broken      instead, where the app raised or the client left: returns a stale response if one may stand in

A body is kept while it streams through only if it is to be stored, and only up to the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import msgspec

from holdfast.core.call import Call
from holdfast.core.http_fetching import Fetching, Right
from holdfast.core.http_pages import Found, Pages, digest
from holdfast.core.http_writing import Writing
from holdfast.errors import BackendError
from holdfast.policy.freshness import retry_pause
from holdfast.policy.http.ages import age_at
from holdfast.policy.http.conditions import fields_of_304, request_fields
from holdfast.policy.http.directives import delta_seconds
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.invalidation import invalidated
from holdfast.policy.http.judging import Forward, error_window, raise_window
from holdfast.policy.http.receiving import (
    PASSING_ERROR,
    Again,
    Confirmed,
    Head,
    Reception,
    Relayed,
    Replaced,
    receive,
)
from holdfast.policy.http.request import Request
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Page, Stored, is_inline, joined, remaining
from holdfast.policy.http.target import Target
from holdfast.policy.http.variants import Variant, variant_of
from holdfast.port import Port

BODILESS: Final = frozenset({204, 205, 304})
"""Statuses whose responses have no body."""
_PASSING_BESIDE: Final = 10.0
"""Seconds at most for which requests do not wait for each other where some variants are stored."""


class Services(NamedTuple):
    """What the exchanges of one cache work with."""

    rules: Rules
    pages: Pages
    fetching: Fetching
    writing: Writing
    key_of: Callable[[Target], str]


class Next(NamedTuple):
    """What the middleware does with the app's answer."""

    does: Literal["relay", "swallow", "again"]
    """`relay` it to the client; `swallow` it, then `conclude`; or swallow it and ask the app `again`."""
    status: int = 0
    fields: Pairs = ()
    """The head for the client, if it is relayed."""
    bodiless: bool = False
    """Whether the client gets no body, since it has it already."""
    stored: bool = False
    """Whether it is going to be stored."""
    detail: str = ""
    """Why not, in a word."""


class Outcome(NamedTuple):
    """What the client gets instead of the app's answer."""

    variant: Variant
    body: bytes
    age: float
    """Seconds."""
    stale: bool = False
    forwarded: str = ""
    """Why the app was asked all the same, as `Forward.why`; empty if it was not."""
    status: int = 0
    """What the app answered then; 0 if it did not answer."""
    collapsed: bool = False
    """Whether another request brought it."""


SWALLOW: Final = Next("swallow")
AGAIN: Final = Next("again")


class Exchange:
    """One request on its way to the app and back."""

    __slots__ = (
        "_call",
        "_changed",
        "_chunks",
        "_found",
        "_gone",
        "_outcome",
        "_over",
        "_pieces",
        "_port",
        "_requested",
        "_right",
        "_services",
        "_size",
        "_stored",
        "collapsed",
        "forward",
        "request",
    )

    def __init__(
        self, services: Services, port: Port, request: Request, call: Call, forward: Forward, found: Found, right: Right
    ) -> None:
        self._services = services
        self._port = port
        self._call = call
        self._found = found
        self._right = right
        self.request = request
        self.forward = forward
        self.collapsed = False
        """Whether it has waited for another request."""
        self._requested = port.now()
        self._stored: Stored | None = None
        """What is going to be stored when the body is complete."""
        self._gone: tuple[str, ...] = ()
        self._outcome: Outcome | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._pieces = 0
        self._changed: list[str] = []
        """The keys of the URLs that the request has changed."""
        self._over = False

    @property
    def conditions(self) -> Pairs | None:
        """The condition to send to the app instead of the client's conditions and range; None = send these."""
        if not self.forward.validates and not self.forward.stripped:
            return None
        return request_fields([each.validators for each in self.forward.held])

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done with the app's answer: it may go to the client as it is."""
        return self._over and not self._changed

    def etag_of(self, body: bytes) -> str | None:
        """Return the ETag that a response will be stored with, if it has none and is to be given one."""
        if not self._services.rules.etag or self._stored is None or not body:
            return None
        return None if "etag" in Fields(self._stored.fields) else f'"{digest(body)}"'

    @property
    def declared_size(self) -> int | None:
        """How many bytes the body has, if it is to be stored and its response says so."""
        if self._stored is None:
            return None
        return delta_seconds(Fields(self._stored.fields).get("content-length") or "")

    @property
    def is_teed(self) -> bool:
        """Whether the body is wanted."""
        return self._stored is not None

    async def head(self, status: int, pairs: Pairs) -> Next:
        """Take the head of the app's answer, and say what to do with it."""
        services, found = self._services, self._found
        head = Head(status, Fields(pairs), self._requested, self._port.now())
        if self.forward.why == "method":
            return await self._changes(head)
        reception = receive(self.request, self.forward, head, found.variants, services.rules)
        if isinstance(reception, Confirmed):
            return await self._confirmed(reception, head)
        if isinstance(reception, Again):
            return self._again()
        if isinstance(reception, Replaced):
            window = error_window(reception.variant.told, self.request.directives(honoured=True))
            if await self._fall_back(window, status):
                return SWALLOW
            reception = Relayed(passing=PASSING_ERROR)
        return await self._relayed(reception, status, pairs)

    async def _changes(self, head: Head) -> Next:
        """Take the answer to a request that may change something: what it outdates goes before the client knows."""
        services, request = self._services, self.request
        reception: Reception = Relayed()
        if self._right.token:
            reception = receive(request, self.forward, head, (), services.rules)
        stored = reception.stored if isinstance(reception, Relayed) else None
        changed = invalidated(request.method, head.status, request.target, head.fields)
        keys = [services.key_of(each) for each in changed]
        self._changed = [key for key in keys if stored is None or key != request.key]
        if self._changed:
            await services.writing.invalidate(self._port, self._changed)
        self._stored = stored
        return Next("relay", head.status, head.fields.pairs, stored=stored is not None)

    async def _relayed(self, reception: Relayed, status: int, pairs: Pairs) -> Next:
        stored = reception.stored if self._right.token else None
        if stored is not None:
            self._stored, self._gone = stored, reception.gone
        elif self._right.token:
            await self._pass(reception)
        elif reception.stored is not None and self._found.page.passing:
            # It may be stored after all: the next request shall do so.
            await self._services.writing.invalidate(self._port, [self._call.key])
        detail = reception.detail or ("" if stored is not None else "no-lease")
        if reception.not_modified:
            return Next("relay", 304, fields_of_304(pairs), True, stored is not None, detail)
        return Next("relay", status, pairs, False, stored is not None, detail)

    def _again(self) -> Next:
        self.forward = self.forward._replace(held=(), stripped=True)
        self._requested = self._port.now()
        return AGAIN

    async def _confirmed(self, confirmed: Confirmed, head: Head) -> Next:
        """Bring a stored response up to date, and serve it."""
        old, port = confirmed.variant, self._port
        try:
            body = await self._services.pages.body(port, self._call.key, old)
        except BackendError as error:
            self._services.pages.failed("GET", error)
            body = None
        if body is None:
            return self._again()
        stored = confirmed.stored
        new = variant_of(
            stored
            or msgspec.structs.replace(
                old.stored, fields=confirmed.fields, requested=head.requested, received=head.received
            ),
            self._services.rules,
        )
        age = age_at(new.told.initial_age, head.received, port.now())
        self._outcome = Outcome(new, body, age, False, self.forward.why, 304, self.collapsed)
        if self._right.token:
            if self.forward.why != "vary-miss":
                self._gone = (old.stored.id,)
            await self._write(stored, None)
        return SWALLOW

    async def _fall_back(self, window: float, status: int = 0) -> bool:
        """Choose a stale response in place of the app's failure; say whether it is there. Others do so for a while."""
        variant, port = self.forward.fallback, self._port
        if variant is None:
            return False
        now = port.now()
        age = age_at(variant.told.initial_age, variant.stored.received, now)
        if age >= variant.told.lifetime + window:
            return False
        try:
            body = await self._services.pages.body(port, self._call.key, variant)
        except BackendError as error:
            self._services.pages.failed("GET", error)
            return False
        if body is None:
            return False
        self._outcome = Outcome(variant, body, age, age >= variant.told.lifetime, self.forward.why, status)
        await self._services.writing.release(port, self._call, self._right, now + retry_pause(window))
        self._end()
        return True

    async def _pass(self, reception: Relayed) -> None:
        """Give the lease back for an answer that is not stored: what it outdates goes, and nobody need wait here."""
        now, page = self._port.now(), self._found.page
        kept = remaining(page, reception.gone, now)
        passing = min(reception.passing, _PASSING_BESIDE) if kept else reception.passing
        if reception.gone and not kept and not passing:
            await self._services.writing.invalidate(self._port, [self._call.key])
        elif reception.gone or passing:
            await self._services.writing.store(
                self._port,
                self._call,
                self._right,
                Page(kept, now + passing if passing else 0.0),
                stamps=self._found.stamps if kept else (),
                unused=[each.id for each in page.variants if each.id in reception.gone and each.body is None],
            )
        else:
            await self._services.writing.release(self._port, self._call, self._right)
        self._end()

    def feed(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        self._pieces += 1
        if self._stored is None or not chunk:
            return
        self._size += len(chunk)
        if self._size > self._services.rules.max_body:
            self._chunks.clear()
        else:
            self._chunks.append(bytes(chunk))

    @property
    def is_overlong(self) -> bool:
        """Whether the body has turned out too long to be stored: then call `give_up`, so that nobody waits for it."""
        return self._stored is not None and self._size > self._services.rules.max_body

    async def give_up(self) -> None:
        """Let the rest of the body through, unstored."""
        self._stored = None
        await self._pass(Relayed(detail="too-large", gone=self._gone, passing=120.0))

    async def complete(self) -> bool:
        """Store what is to be stored; say whether it is."""
        stored, self._stored = self._stored, None
        if self._changed and self._pieces > 1:  # it may have gone on changing things while it answered
            await self._services.writing.invalidate(self._port, self._changed)
        if stored is None:
            await self._release()
            return False
        body = b"".join(self._chunks)
        self._chunks.clear()
        declared = Fields(stored.fields).get("content-length")
        if declared is not None and declared != str(len(body)) and stored.status not in BODILESS:
            await self._release()
            return False
        return await self._write(stored, body)

    async def _write(self, stored: Stored | None, body: bytes | None) -> bool:
        """Store a page with a new response; one that must not be stored takes its predecessor along."""
        services, port, call, found = self._services, self._port, self._call, self._found
        try:
            now = port.now()
            kept = remaining(found.page, self._gone, now)
            unused = [each.id for each in found.page.variants if each.id in self._gone and each.body is None]
            if stored is None:
                if not kept:
                    await services.writing.invalidate(port, [call.key])
                    return False
                return await services.writing.store(
                    port, call, self._right, Page(kept), stamps=found.stamps, unused=unused
                )
            if body is not None:
                stored = self._with_body(stored, body, kept)
            else:
                unused = []
            stamped = await services.writing.stamps_for(
                port, self._right, Fields(stored.fields), stored.until - now, found
            )
            if stamped is None:
                await services.writing.release(port, call, self._right)
                return False
            stamps, beside = stamped
            outside = (stored.id, body) if body is not None and stored.body is None else None
            return await services.writing.store(
                port,
                call,
                self._right,
                joined(stored, kept if beside else ()),
                stamps=stamps,
                body=outside,
                unused=unused,
                load_time=max(0.0, now - self._requested),
            )
        except BaseException as error:
            await services.writing.release_at_last(port, call, self._right, error)
            raise
        finally:
            self._end()

    def _with_body(self, stored: Stored, body: bytes, others: tuple[Stored, ...]) -> Stored:
        """Return a response with its body, or with the name that this is kept under, and the ETag that it lacks."""
        inline = is_inline(len(body), others)
        found = digest(body)
        fields = stored.fields
        if self._services.rules.etag and "etag" not in Fields(fields) and body:
            fields = (*fields, ("ETag", f'"{found}"'))
        return msgspec.structs.replace(
            stored,
            id=f"{self._port.token()}{found}",
            fields=fields,
            size=len(body),
            body=body if inline else None,
        )

    def conclude(self) -> Outcome | None:
        """Return what the client gets instead of the app's answer, if that was swallowed."""
        self._end()
        return self._outcome

    async def broken(self, error: BaseException | None, *, begun: bool) -> Outcome | None:
        """Give the lease back. Return what the client gets if the app raised before it began to answer.

        Args:
            error: what the app raised; None if it ended without completing its answer, or the client left.
            begun: whether the client has got something already.
        """
        self._stored = None
        if self._over:
            return None
        if error is not None and not isinstance(error, Exception):
            try:
                await self._services.writing.release_at_last(self._port, self._call, self._right, error)
            finally:
                self._end()
            return None
        if error is not None and not begun:
            variant = self.forward.fallback
            if variant is not None and await self._fall_back(
                max(
                    raise_window(variant.told, self._services.rules),
                    error_window(variant.told, self.request.directives(honoured=self._services.rules.honour_clients)),
                )
            ):
                return self._outcome
            if self._right.token:
                await self._pass(Relayed(passing=PASSING_ERROR))
        await self._release()
        return None

    async def _release(self) -> None:
        if self._over:
            return
        try:
            await self._services.writing.release(self._port, self._call, self._right)
        finally:
            self._end()

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._services.fetching.end(self._call.key, self._right)
