"""Changing what is stored of URLs: storing a page under its lease, giving the lease back, invalidating."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from holdfast.commands import pexpire
from holdfast.core import changing
from holdfast.core.caching import Caching
from holdfast.core.call import Call
from holdfast.core.encoding import stamps_after
from holdfast.core.http_fetching import Right
from holdfast.core.http_pages import Found, Pages, body_key
from holdfast.core.plan import Plan
from holdfast.errors import BackendError, SerializationError
from holdfast.events import Fill, FillRefused
from holdfast.policy.frame import instant
from holdfast.policy.http.fields import Fields, members
from holdfast.policy.http.receiving import PASSING
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Page
from holdfast.policy.keys import guard
from holdfast.policy.stamps import Stamp
from holdfast.policy.tag_fields import read_tag
from holdfast.port import Port
from holdfast.scripts import cache as scripts

_log = logging.getLogger("holdfast")
_SPACED: Final = frozenset({"surrogate-key", "xkey"})
"""Fields that separate their tags by spaces."""


class Writing:
    """Changes the pages of one cache."""

    def __init__(self, caching: Caching, plan: Plan, rules: Rules, pages: Pages) -> None:
        self._caching = caching
        self._plan = plan
        self._rules = rules
        self._pages = pages
        self._names = caching.names
        self._returning = caching.loading.leasing.returning

    async def store(
        self,
        port: Port,
        call: Call,
        right: Right,
        page: Page,
        *,
        stamps: Sequence[Stamp] = (),
        body: tuple[int, bytes] | None = None,
        used: Sequence[int] = (),
        load_time: float = 0.0,
    ) -> bool:
        """Store a page and give the lease back; say whether that was done. It is not, if the lease was revoked.

        Args:
            port: of the caller.
            call: names the URL.
            right: with its lease.
            page: what to store.
            stamps: the versions of its tags.
            body: the place of a body that does not lie in the page, and what goes there.
            used: places of bodies that are there already, and have to last as long as the page.
            load_time: seconds that it took to get it.
        """
        now = port.now()
        seconds = max([page.passing, *[each.until for each in page.variants]]) - now
        if seconds <= 0:
            await self.release(port, call, right)
            return False
        raw = self._encode(call, right, page, now, seconds, load_time, stamps)
        if raw is None:
            if page.variants:
                await self.store(port, call, right, Page((), now + PASSING))
            else:
                await self.release(port, call, right)
            return False
        places = self._names.places(call.key)
        fill = scripts.fill(
            call.key,
            places.lease,
            token=right.token,
            frame=raw,
            seconds=seconds,
            channel=places.news,
            part=None if body is None else (body_key(call.key, body[0]), body[1]),
        )
        after = [pexpire(body_key(call.key, each), seconds) for each in used]
        try:
            reply, *_ = await port.pipeline([fill, *after]) if after else [await port.call(fill)]
        except BackendError as error:
            self._returning.renounce(port, [(call, right.token)])
            self._pages.failed("fill", error)
            return False
        stored = bool(reply)
        if page.variants:
            self._note(call, stored, len(raw) + (0 if body is None else len(body[1])), seconds, load_time)
        return stored

    def _encode(
        self,
        call: Call,
        right: Right,
        page: Page,
        now: float,
        seconds: float,
        load_time: float,
        stamps: Sequence[Stamp],
    ) -> bytes | None:
        """Return a page as it is stored; None if it cannot be: it has too many tags, or is more than Redis takes."""
        try:
            return self._plan.codec.encode(
                call.key,
                page,
                id=right.token,
                created=now,
                fresh_until=now + seconds,
                load_time=load_time,
                stamps=stamps,
            )
        except SerializationError as error:
            self._plan.tally.errors += 1
            _log.warning("a response was not stored: %s", error)
            return None

    def _note(self, call: Call, stored: bool, size: int, seconds: float, load_time: float) -> None:
        tally, recorder = self._plan.tally, self._caching.recorder
        if stored:
            tally.fills += 1
        if not recorder.hooks:
            return
        if stored:
            recorder.emit(Fill(tally.pattern, call.key, size, seconds, load_time))
        else:
            recorder.emit(FillRefused(tally.pattern, call.key, load_time))

    async def release(self, port: Port, call: Call, right: Right, retry_at: float = 0.0) -> None:
        """Give a lease back without a result; what is stored is served until `retry_at`, if that is given."""
        if not right.token:
            return
        again = instant(retry_at) if retry_at else b""
        try:
            await port.call(self._returning.command(call.key, right.token, again))
        except BackendError as error:
            self._returning.renounce(port, [(call, right.token)])
            self._pages.failed("abandon", error)

    async def release_at_last(self, port: Port, call: Call, right: Right, error: BaseException) -> None:
        """Give a lease back for a request that is cancelled or interrupted by an error."""
        if right.token:
            await self._returning.give_back_at_last(port, [(call, right.token)], error)

    async def invalidate(self, port: Port, keys: Sequence[str]) -> None:
        """Remove what is stored of URLs, and revoke the leases of those who fetch them."""
        with suppress(BackendError):  # it is counted and told
            await changing.remove(self._caching, port, self._plan, keys)

    def tags_of(self, fields: Fields) -> tuple[str, ...]:
        """Return the tags that a response gives itself, as they stand in keys."""
        name = self._rules.tag_field
        said = fields.get(name) if name else None
        if said is None:
            return ()
        texts = said.split() if name in _SPACED else members(said)
        return tuple(dict.fromkeys(guard(read_tag(text), "a tag") for text in texts))

    async def stamps_for(
        self, port: Port, right: Right, fields: Fields, seconds: float, found: Found
    ) -> tuple[tuple[Stamp, ...], bool] | None:
        """Return the stamps of a page with a new response, and whether the variants that are there may stay.

        Those that were stored under another version of a tag of the new response may not. None, if a tag may have been
        invalidated while the response was fetched.
        """
        tags = self.tags_of(fields)
        if not tags:  # what was softened must not soften the new response, too
            return ((), False) if found.softened else (found.stamps, True)
        after = None
        if right.lease.epoch is not None:
            after = await self._caching.loading.settling.read_after(port, self._plan, tags, seconds)
        new = stamps_after(self._plan, right.lease, tags, after)
        if new is None:
            return None
        known = {stamp.tag: stamp for stamp in new}
        if any(known.get(stamp.tag, stamp) != stamp for stamp in found.stamps):
            return new, False
        return tuple({stamp.tag: stamp for stamp in (*found.stamps, *new)}.values()), True
