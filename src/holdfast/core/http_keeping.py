"""What one right to fetch a URL ends with: its page is stored anew, marked, or left as it was."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

import msgspec

from holdfast.core.call import Call
from holdfast.core.http_fetching import Fetching, Right
from holdfast.core.http_pages import Found, Pages, body_mark, digest
from holdfast.core.http_writing import Writing
from holdfast.core.returning import NONCE
from holdfast.policy.http.fields import Fields
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Page, Stored, free_place, is_inline, joined, remaining
from holdfast.policy.http.target import Target
from holdfast.policy.http.variants import made_etag
from holdfast.port import Port

_PASSING_BESIDE: Final = 10.0
"""Seconds at most for which requests do not wait for each other where some variants are stored."""


class Services(NamedTuple):
    """What the exchanges of one cache work with."""

    rules: Rules
    pages: Pages
    fetching: Fetching
    writing: Writing
    key_of: Callable[[Target], str]
    like: Callable[[str], None]
    """Notes that a URL may be stored, whatever a mark says."""
    count_stale: Callable[[str], None]
    """Counts that what is stored of a URL has stood in for a failure of the app."""


class Keeping:
    """Uses one right, at most once."""

    __slots__ = ("_call", "_port", "_right", "_services", "_writing", "found", "has_stored", "is_over")

    def __init__(self, services: Services, port: Port, call: Call, found: Found, right: Right) -> None:
        self._services = services
        self._writing = services.writing
        self._port = port
        self._call = call
        self._right = right
        self.found = found
        """What was stored of the URL when the right was granted."""
        self.is_over = False
        self.has_stored = False
        """Whether a response was stored, or brought up to date."""

    @property
    def may_store(self) -> bool:
        """Whether there is a lease to store under."""
        return bool(self._right.token)

    async def write(
        self, stored: Stored | None, body: bytes | None, gone: Collection[str], *, load_time: float = 0.0
    ) -> bool:
        """Store the page with a new or renewed response in front; say whether that was done.

        Args:
            stored: the response; None = the page is only to lose what is gone.
            body: of a new one; None = the body that is stored already stays.
            gone: ids of what goes.
            load_time: seconds that it took to get the response.
        """
        try:
            self.has_stored = await self._write(stored, body, gone, load_time)
            return self.has_stored
        except BaseException as error:
            await self._writing.release_at_last(self._port, self._call, self._right, error)
            raise
        finally:
            self.end()

    async def _write(self, stored: Stored | None, body: bytes | None, gone: Collection[str], load_time: float) -> bool:
        port, call, right, found, now = self._port, self._call, self._right, self.found, self._port.now()
        kept = remaining(found.page, gone, now)
        if stored is None:
            return await self._store(Page(kept)) if kept else await self._remove()
        outside = None
        if body is not None:
            stored = self._with_body(stored, body, kept)
            outside = (stored.place, body_mark(stored) + body) if stored.body is None else None
        stamped = await self._writing.stamps_for(port, right, Fields(stored.fields), stored.until - now, found)
        if stamped is None:
            await self._writing.release(port, call, right)
            return False
        stamps, beside = stamped
        return await self._writing.store(
            port,
            call,
            right,
            joined(stored, kept if beside else ()),
            stamps=stamps,
            body=outside,
            used=[stored.place] if body is None and stored.body is None else (),
            load_time=load_time,
        )

    def _with_body(self, stored: Stored, body: bytes, others: tuple[Stored, ...]) -> Stored:
        """Return a response with its body, or with the name that this is kept under, and the ETag that it lacks."""
        found, fields = digest(body), stored.fields
        if self._services.rules.etag and body and "etag" not in Fields(fields):
            fields = (*fields, ("ETag", made_etag(found)))
        return msgspec.structs.replace(
            stored,
            id=f"{self._right.token[:NONCE]}{found}",
            fields=fields,
            size=len(body),
            body=body if is_inline(len(body), others) else None,
            place=free_place(self.found.page),
        )

    async def leave(self, gone: Collection[str], passing: float) -> None:
        """Store nothing: what is gone goes, and for `passing` seconds nobody need wait here for anybody."""
        try:
            await self._leave(gone, passing)
        except BaseException as error:
            await self._writing.release_at_last(self._port, self._call, self._right, error)
            raise
        finally:
            self.end()

    async def _leave(self, gone: Collection[str], passing: float) -> None:
        now = self._port.now()
        kept = remaining(self.found.page, gone, now)
        if kept:
            passing = min(passing, _PASSING_BESIDE)
        if not (gone or passing):
            await self._writing.release(self._port, self._call, self._right)
        elif kept or passing:
            await self._store(Page(kept, now + passing if passing else 0.0))
        else:
            await self._remove()

    async def _store(self, page: Page) -> bool:
        stamps = self.found.stamps if page.variants else ()
        return await self._writing.store(self._port, self._call, self._right, page, stamps=stamps)

    async def _remove(self) -> bool:
        await self._writing.invalidate(self._port, [self._call.key])
        return False

    async def release(self, retry_at: float = 0.0) -> None:
        """Give the lease back without a result; what is stored is served until `retry_at`, if that is given."""
        if self.is_over:
            return
        try:
            await self._writing.release(self._port, self._call, self._right, retry_at)
        except BaseException as error:
            await self._writing.release_at_last(self._port, self._call, self._right, error)
            raise
        finally:
            self.end()

    async def release_at_last(self, error: BaseException) -> None:
        """Give the lease back for a request that is cancelled or interrupted by an error."""
        try:
            await self._writing.release_at_last(self._port, self._call, self._right, error)
        finally:
            self.end()

    def end(self) -> None:
        """Wake who waits for this in the process."""
        if not self.is_over:
            self.is_over = True
            self._services.fetching.end(self._call.key, self._right)
