"""The pages of a layer's HTTP caches: read, decoded, and kept decoded for as long as Redis says the same.

Every request reads its page from Redis. What a process remembers of it is only what the same bytes mean, so it can
never be older than what Redis has.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Final, NamedTuple

from holdfast.commands import Command, get
from holdfast.core.plan import Plan
from holdfast.core.reading import Reading, as_versions
from holdfast.core.records import Recorder
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, Frame, Unreadable
from holdfast.policy.freshness import Versions, judge, unread
from holdfast.policy.http.rules import Rules
from holdfast.policy.http.stored import Page, Stored
from holdfast.policy.http.variants import DIGEST_SIZE, Variant, is_sound_page, variant_of
from holdfast.policy.stamps import Stamp
from holdfast.port import Port

_LARGEST_KEPT: Final = 128 * 1024
_LARGEST_HOT: Final = 32 * 1024
"""Bytes of a page that is kept ready to be sent as well."""
_MOST_KEPT: Final = 16 * 1024 * 1024
"""Bytes of memory that all pages take which are kept decoded."""
_OVERHEAD: Final = 4096
"""Bytes that a decoded page takes beside its own."""


class Found(NamedTuple):
    """What was read of a URL."""

    raw: bytes | None
    """As Redis has it; None = nothing."""
    page: Page
    variants: tuple[Variant, ...]
    stamps: tuple[Stamp, ...] = ()
    softened: bool = False
    """Whether all of it counts as stale, since a tag was made so."""
    retry_at: float = 0.0
    """Until when the app is not asked again if there is something to serve: it has just failed; Unix seconds."""

    @property
    def id(self) -> bytes:
        """The id of what is there, whatever it is worth; empty if nothing is."""
        return b"" if self.raw is None else self.raw[ID_OFFSET : ID_OFFSET + ID_SIZE]

    def without(self, lost: Collection[str]) -> Found:
        """Return the same without some variants, by their ids."""
        if not lost:
            return self
        page = Page(tuple([each for each in self.page.variants if each.id not in lost]), self.page.passing)
        return self._replace(page=page, variants=tuple([each for each in self.variants if each.stored.id not in lost]))


NOTHING: Final = Found(None, Page(), ())


class _Kept(NamedTuple):
    found: Found
    frame: Frame
    tags: tuple[str, ...]


class Pages:
    """Reads the pages of one cache."""

    def __init__(self, reading: Reading, plan: Plan, rules: Rules, recorder: Recorder, *, signed: bool) -> None:
        self._recorder = recorder
        self._signed = signed
        self.reading = reading
        self._plan = plan
        self._rules = rules
        self._kept: dict[str, _Kept] = {}
        self._size = 0

    async def read(self, port: Port, key: str) -> Found:
        """Return what is stored of a URL: one GET, and the versions of its tags where it has some.

        Raises:
            BackendError: Redis could not be used.
        """
        kept = self._kept.get(key)
        if kept is None or not kept.tags:
            raw = await port.call(Command(("GET", key), (key,), True))
            if kept is not None and (raw == kept.found.raw):
                return kept.found
            return await self.examine(port, key, raw, {})
        raw, versions = await port.pipeline([get(key), self.reading.read_tags(kept.tags)])
        return await self.examine(port, key, raw, as_versions(kept.tags, versions))

    async def examine(self, port: Port, key: str, raw: bytes | None, versions: dict[str, Versions | None]) -> Found:
        """Return what bytes mean that were found under a key.

        Args:
            port: of the caller.
            key: of the page.
            raw: what was found.
            versions: of tags, if they were read after the caller began.

        Raises:
            BackendError: the versions of further tags could not be read.
        """
        if raw is None:
            return NOTHING
        kept = self._kept.get(key)
        if kept is None or kept.found.raw != raw:
            kept = self._decode(key, raw)
            if kept is None:
                return Found(raw, Page(), ())
            if kept.found.variants:
                self._keep(key, kept, len(raw))
        if not kept.tags:
            return kept.found
        more = unread(kept.frame, versions)
        if more:
            versions |= as_versions(more, await port.call(self.reading.read_tags(more)))
        verdict = judge(kept.frame, versions, (), port.now())
        if verdict == "invalid":
            return Found(raw, Page(), ())
        return kept.found if verdict == "fresh" else kept.found._replace(softened=True)

    def _decode(self, key: str, raw: bytes) -> _Kept | None:
        plan = self._plan
        try:
            frame = plan.codec.open(key, raw)
            page = plan.codec.value(frame)
            if not is_sound_page(page):
                raise Unreadable("malformed")
        except Unreadable as unreadable:
            self.reading.unreadable(plan, key, unreadable)
            return None
        variants = tuple([variant_of(stored, self._rules) for stored in page.variants])
        tags = tuple(dict.fromkeys(stamp.tag for stamp in frame.stamps))
        return _Kept(Found(raw, page, variants, frame.stamps, retry_at=frame.retry_at), frame, tags)

    def _keep(self, key: str, kept: _Kept, size: int) -> None:
        if size > _LARGEST_KEPT:
            return
        self._size += _size_of(kept) - _size_of(self._kept.pop(key, None))
        self._kept[key] = kept
        while self._size > _MOST_KEPT:  # threads may count past each other: an empty table sets it right
            try:
                oldest = next(iter(self._kept), None)
            except RuntimeError:
                return
            if oldest is None:
                self._size = 0
            else:
                self._size -= _size_of(self._kept.pop(oldest, None))

    def simple(self, key: str, variant: Variant) -> bytes | None:
        """Return the bytes of a page that holds this variant alone, and that no tag can outdate."""
        kept = self._kept.get(key)
        if kept is None or kept.tags or kept.found.variants != (variant,) or not variant.simple:
            return None
        raw = kept.found.raw
        return raw if raw is not None and len(raw) <= _LARGEST_HOT else None

    def failed(self, operation: str, error: Exception) -> None:
        """Count and tell that Redis could not be used. The request goes on without it."""
        self._recorder.backend_failed(self._plan.tally, operation, error)

    async def body(self, port: Port, key: str, variant: Variant) -> bytes | None:
        """Return the body of a variant; None if it is not there any more.

        Raises:
            BackendError: Redis could not be used.
        """
        stored = variant.stored
        if stored.body is not None:
            return stored.body
        mark = body_mark(stored)
        found = await port.call(get(body_key(key, stored.place)))
        if found is None or len(found) != len(mark) + stored.size or not found.startswith(mark):
            return None  # it is gone, or another's
        body: bytes = found[len(mark) :]
        return body if not self._signed or stored.id.endswith(digest(body)) else None


def digest(body: bytes) -> str:
    """Return what a body's id ends with, so that a page that is signed vouches for it."""
    return blake2b(body, digest_size=DIGEST_SIZE // 2).hexdigest()


def body_key(key: str, place: int) -> str:
    """Return the key of a body that does not lie in its page; it shares the page's slot."""
    return f"{key}:{place}"


def body_mark(stored: Stored) -> bytes:
    """Return what the bytes under such a key begin with, so that nobody takes another's body for a response's own."""
    return stored.id[:-DIGEST_SIZE].encode("latin-1", "replace")


def _size_of(kept: _Kept | None) -> int:
    return 0 if kept is None or kept.found.raw is None else 2 * len(kept.found.raw) + _OVERHEAD
