"""One request that goes to the app: what its answer does to the store, and what the client gets.

The middleware tells what the app does, in this order; each exchange ends with one of the last three:

    head        the app has begun to answer; the reply says whether the answer goes to the client
    take        a piece of its body, before the client gets it
    complete    the body is complete: what is to be stored is stored before the client has the end of it
    conclude    instead, where the client gets another response than the app's: returns that
    broken      instead, where the app raised or the client left: returns a stale response if one may stand in

A body is kept while it streams through only if it is to be stored, and only up to the limit.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Literal, NamedTuple

import msgspec

from holdfast.core.call import Call
from holdfast.core.http_bodies import Body
from holdfast.core.http_fetching import Right
from holdfast.core.http_keeping import Keeping, Services
from holdfast.core.http_pages import Found, digest
from holdfast.errors import BackendError
from holdfast.policy.freshness import retry_pause
from holdfast.policy.http.ages import age_at
from holdfast.policy.http.conditions import fields_of_304, request_fields
from holdfast.policy.http.directives import RequestDirectives
from holdfast.policy.http.fields import Fields, Pairs
from holdfast.policy.http.invalidation import invalidated
from holdfast.policy.http.judging import Forward, error_window, raise_window
from holdfast.policy.http.receiving import (
    PASSING,
    PASSING_ERROR,
    Again,
    Confirmed,
    Head,
    Reception,
    Relayed,
    Replaced,
    declared_size,
    receive,
)
from holdfast.policy.http.request import Request
from holdfast.policy.http.stored import Stored
from holdfast.policy.http.variants import BODILESS, Variant, made_etag, variant_of
from holdfast.port import Port


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
    """What a client gets from the store."""

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
        "_body",
        "_call",
        "_changed",
        "_gone",
        "_keeping",
        "_outcome",
        "_port",
        "_requested",
        "_services",
        "_stored",
        "_untold",
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
        self._keeping = Keeping(services, port, call, found, right)
        self.request = request
        self.forward = forward
        self.collapsed = False
        """Whether it has waited for another request."""
        self._requested = port.now()
        self._stored: Stored | None = None
        """What is going to be stored when the body is complete."""
        self._gone: tuple[str, ...] = ()
        """Ids of what the answer outdates."""
        self._outcome: Outcome | None = None
        self._body = Body(services.rules.max_body)
        self._changed: list[str] = []
        """The keys of the URLs that the request has changed."""
        self._untold = False
        """Whether they are still to be invalidated."""

    @property
    def conditions(self) -> Pairs | None:
        """The condition to send to the app instead of the client's conditions and range; None = send these."""
        if not self.forward.validates and not self.forward.stripped:
            return None
        return request_fields([each.validators for each in self.forward.held])

    @property
    def is_over(self) -> bool:
        """Whether nothing more is done with the app's answer: it may go to the client as it is."""
        return self._keeping.is_over and not self._changed

    @property
    def changes(self) -> bool:
        """Whether the answer outdates something; that goes before the client gets any of it."""
        return bool(self._changed)

    @property
    def is_storing(self) -> bool:
        """Whether the body is kept to be stored."""
        return self._stored is not None

    @property
    def may_store(self) -> bool:
        """Whether the answer may be stored, as far as that does not depend on it."""
        return self._keeping.may_store

    @property
    def has_stored(self) -> bool:
        """Whether a response was stored, or brought up to date."""
        return self._keeping.has_stored

    @property
    def declared_size(self) -> int | None:
        """How many bytes the body has, if it is to be stored and its response says so."""
        if self._stored is None:
            return None
        return declared_size(Fields(self._stored.fields))

    def etag_of(self, body: bytes) -> str | None:
        """Return the ETag that a response will be stored with, if it has none and is to be given one."""
        if not self._services.rules.etag or self._stored is None or not body:
            return None
        return None if "etag" in Fields(self._stored.fields) else made_etag(digest(body))

    async def head(self, status: int, pairs: Pairs) -> Next:
        """Take the head of the app's answer, and say what to do with it."""
        self._stored = None
        head = Head(status, Fields(pairs), self._requested, self._port.now())
        if self.forward.why == "method":
            return await self._changes(head)
        reception = receive(self.request, self.forward, head, self._keeping.found.variants, self._services.rules)
        if isinstance(reception, Confirmed):
            return await self._confirmed(reception, head)
        if isinstance(reception, Again):
            return self._again()
        if isinstance(reception, Replaced):
            window = error_window(reception.variant.told, self._wants_of_client())
            if await self._fall_back(window, status):
                return SWALLOW
            reception = Relayed(passing=PASSING_ERROR)
        return await self._relayed(reception, head)

    async def _changes(self, head: Head) -> Next:
        """Take the answer to a request that may change something: what it outdates goes with the body."""
        services, request = self._services, self.request
        reception: Reception = Relayed()
        if self._keeping.may_store:
            reception = receive(request, self.forward, head, (), services.rules)
        self._stored = reception.stored if isinstance(reception, Relayed) else None
        changed = invalidated(request.method, head.status, request.target, head.fields)
        keys = [request.key if each == request.target else services.key_of(each) for each in changed]
        self._changed, self._untold = keys, bool(keys)
        if self._stored is None:
            await self._keeping.release()
        return Next("relay", head.status, head.fields.pairs, stored=self._stored is not None)

    async def _relayed(self, reception: Relayed, head: Head) -> Next:
        keeping = self._keeping
        stored = reception.stored if keeping.may_store else None
        if stored is not None:
            self._stored, self._gone = stored, reception.gone
        elif keeping.may_store:
            await keeping.leave(reception.gone, reception.passing)
        else:
            if reception.stored is not None and keeping.found.page.passing:
                self._services.like(self._call.key)  # it may be stored after all: the next request shall do so
            keeping.end()
        detail = reception.detail or ("" if stored is not None else "no-lease")
        if reception.not_modified:
            return Next("relay", 304, fields_of_304(head.fields.pairs), True, stored is not None, detail)
        return Next("relay", head.status, head.fields.pairs, False, stored is not None, detail)

    def _again(self) -> Next:
        self.forward = self.forward._replace(held=(), stripped=True)
        self._requested = self._port.now()
        return AGAIN

    async def _confirmed(self, confirmed: Confirmed, head: Head) -> Next:
        """Bring a stored response up to date, and serve it."""
        old = confirmed.variant
        body = await self._body_of(old)
        if body is None:
            return self._again()
        stored = confirmed.stored
        updated = stored or msgspec.structs.replace(
            old.stored, fields=confirmed.fields, requested=head.requested, received=head.received
        )
        new = variant_of(updated, self._services.rules)
        age = age_at(new.told.initial_age, head.received, self._port.now())
        self._outcome = Outcome(new, body, age, False, self.forward.why, 304, self.collapsed)
        if confirmed.untouched:
            await self._keeping.release()
        elif self._keeping.may_store:
            gone = () if self.forward.why == "vary-miss" else (old.stored.id,)
            await self._keeping.write(stored, None, gone)
        return SWALLOW

    async def _fall_back(self, window: float, status: int = 0) -> bool:
        """Choose a stale response in place of the app's failure; say whether it is there. Others do so for a while."""
        variant, now = self.forward.fallback, self._port.now()
        if variant is None:
            return False
        age = age_at(variant.told.initial_age, variant.stored.received, now)
        if age >= variant.told.lifetime + window:
            return False
        body = await self._body_of(variant)
        if body is None:
            return False
        self._outcome = Outcome(variant, body, age, age >= variant.told.lifetime, self.forward.why, status)
        self._services.count_stale(self._call.key)
        # Others are served so for a while, but not because this client would have it so.
        own = float(variant.told.directives.stale_if_error or 0)
        if not status:
            own = max(own, raise_window(variant.told, self._services.rules))
        await self._keeping.release(now + retry_pause(own) if age < variant.told.lifetime + own else 0.0)
        return True

    async def _body_of(self, variant: Variant) -> bytes | None:
        pages = self._services.pages
        try:
            return await pages.body(self._port, self._call.key, variant)
        except BackendError as error:
            pages.failed("GET", error)
            return None

    async def take(self, piece: bytes) -> None:
        """Take a piece of the body, before the client gets it; `complete` comes after the last."""
        body = self._body
        if self._stored is None:
            body.count += 1
        else:
            body.feed(piece)
            if body.is_overlong:
                await self.give_up()
        if self._untold:  # the app has done what it does, and the client does not know it yet
            await self._invalidate()

    async def _invalidate(self) -> None:
        """Invalidate what the request has changed, but for what its own answer is going to replace."""
        own = None if self._stored is None else self._call.key
        keys = [key for key in self._changed if key != own]
        if keys:
            await self._services.writing.invalidate(self._port, keys)
        self._untold = False

    async def give_up(self) -> None:
        """Let the rest of the body through, unstored; nobody need wait for it."""
        self._stored = None
        await self._keeping.leave(self._gone, PASSING)

    async def complete(self, *, sure: bool = True) -> bool:
        """Store what is to be stored; say whether it is.

        Args:
            sure: whether the app has surely said all. If not, only a body is stored that is as long as its head says.
        """
        if self._untold or self._body.count > 1:  # it may have gone on changing things while it answered
            await self._invalidate()
        stored, self._stored = self._stored, None
        if stored is None:
            await self._keeping.release()
            return False
        self._untold = bool(self._changed)  # the old state must not stay in place of what was not stored
        if await self._keep(stored, sure=sure):
            self._untold = False
            return True
        if self._untold:
            await self._invalidate()
        return False

    async def _keep(self, stored: Stored, *, sure: bool) -> bool:
        body = b"" if stored.status in BODILESS else self._body.whole()
        declared = declared_size(Fields(stored.fields))
        if declared is not None and declared != len(body) and stored.status not in BODILESS:
            await self._keeping.leave(self._gone, PASSING)
            return False
        if not sure and declared is None and stored.status not in BODILESS:
            await self._keeping.release()
            return False
        load_time = max(0.0, self._port.now() - self._requested)
        return await self._keeping.write(stored, body, self._gone, load_time=load_time)

    def conclude(self) -> Outcome | None:
        """Return what the client gets instead of the app's answer, if that was swallowed."""
        self._keeping.end()
        return self._outcome

    async def broken(self, error: BaseException | None, *, begun: bool) -> Outcome | None:
        """Give the lease back. Return what the client gets if the app raised before it began to answer.

        Args:
            error: what the app raised; None if it ended without completing its answer, or the client left.
            begun: whether the client has got something already.
        """
        self._stored = None
        keeping = self._keeping
        if self._untold or (self._changed and not keeping.is_over):
            await self._invalidate_at_last(error)
        if self._outcome is not None and isinstance(error, Exception) and not begun:
            return self._outcome  # it was chosen by the head already
        if keeping.is_over:
            return None
        if error is not None and not isinstance(error, Exception):
            await keeping.release_at_last(error)
            return None
        if error is not None and not begun:
            variant = self.forward.fallback
            if variant is not None:
                window = error_window(variant.told, self._wants_of_client())
                if await self._fall_back(max(window, raise_window(variant.told, self._services.rules))):
                    return self._outcome
            if keeping.may_store:
                await keeping.leave((), PASSING_ERROR)
        await keeping.release()
        return None

    async def _invalidate_at_last(self, error: BaseException | None) -> None:
        """Invalidate what a request has changed whose answer breaks off before its body."""
        if not isinstance(error, GeneratorExit):
            await self._invalidate()
            return
        with suppress(RuntimeError):  # nothing may be awaited any more; without a loop nothing can be done
            self._port.afterwards(self._invalidate)

    def _wants_of_client(self) -> RequestDirectives:
        return self.request.directives(honoured=self._services.rules.honour_clients)
