"""Looking at an entry: the value, the versions of its tags, and what it is worth.

The value and the tags are read after the caller began, in any order. A version that equals the entry's stamp says that
no invalidation of the tag was executed between the load and the read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from holdfast.commands import Command, get, mget
from holdfast.core.call import Look
from holdfast.core.plan import Plan
from holdfast.core.records import Recorder
from holdfast.errors import BackendError
from holdfast.events import EntryUnreadable
from holdfast.policy.frame import Unreadable
from holdfast.policy.freshness import Versions, judge, parse_versions, unread
from holdfast.policy.names import Names
from holdfast.port import Port


class Reading:
    """Reads the entries of one layer."""

    def __init__(self, names: Names, recorder: Recorder, *, bypass: bool) -> None:
        self.names = names
        self._recorder = recorder
        self._bypass = bypass

    async def look(self, port: Port, plan: Plan, key: str, tags: tuple[str, ...]) -> Look:
        """Read an entry and its tags in one round trip; in two if it has other tags than these.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
        """
        try:
            if tags:
                raw, found = await port.pipeline([Command(("GET", key), (key,), True), self.read_tags(tags)])
                return await self.examine(port, plan, key, raw, tags, as_versions(tags, found))
            raw = await port.call(get(key))
            return await self.examine(port, plan, key, raw, tags, {})
        except BackendError as error:
            self.failed("GET", plan, error)
            return Look("unavailable")

    async def examine(
        self,
        port: Port,
        plan: Plan,
        key: str,
        raw: bytes | None,
        tags: tuple[str, ...],
        versions: dict[str, Versions | None],
    ) -> Look:
        """Judge what was found; read the tags that only the entry itself names.

        Raises:
            BackendError: these could not be read.
        """
        return (await self.examine_all(port, plan, [key], [raw], [tags], versions))[0]

    async def examine_all(
        self,
        port: Port,
        plan: Plan,
        keys: Sequence[str],
        raws: Sequence[bytes | None],
        tags: Sequence[tuple[str, ...]],
        versions: dict[str, Versions | None],
    ) -> list[Look]:
        """Judge what was found under several keys; read the tags that only the entries name, all at once.

        Raises:
            BackendError: these could not be read.
        """
        opened = [self._open(plan, key, raw) for key, raw in zip(keys, raws, strict=True)]
        frames = [look.frame for look in opened if look.frame is not None]
        more = list(dict.fromkeys(tag for frame in frames if frame.stamps for tag in unread(frame, versions)))
        if more:
            versions |= as_versions(more, await port.call(self.read_tags(more)))
        now = port.now()
        return [_judged(look, declared, versions, now) for look, declared in zip(opened, tags, strict=True)]

    def _open(self, plan: Plan, key: str, raw: bytes | None) -> Look:
        if raw is None:
            return Look("absent")
        try:
            frame = plan.codec.open(key, raw)
        except Unreadable as unreadable:
            self.unreadable(plan, key, unreadable)
            return Look("unreadable", raw)
        if frame.is_nothing and not plan.codec.nothing:
            return Look("absent", raw)  # it is the absence of a value that was found
        return Look("fresh", raw, frame)

    def read_tags(self, tags: Iterable[str]) -> Command:
        """Return what reads the versions of tags."""
        return mget([self.names.tag(tag) for tag in tags])

    def unreadable(self, plan: Plan, key: str, found: Unreadable) -> None:
        """Count and tell that an entry cannot be used."""
        plan.tally.errors += 1
        if self._recorder.hooks:
            self._recorder.emit(EntryUnreadable(plan.tally.pattern, key, found.reason))

    def failed(self, operation: str, plan: Plan, error: BackendError) -> None:
        """Note that Redis could not be used; raise if the layer does not go on without it."""
        self._recorder.backend_failed(plan.tally, operation, error)
        if not self._bypass:
            raise error


def as_versions(tags: Sequence[str], replies: Sequence[bytes | None]) -> dict[str, Versions | None]:
    """Return what an MGET of tags found, by tag."""
    return {tag: parse_versions(raw) for tag, raw in zip(tags, replies, strict=True)}


def _judged(look: Look, tags: tuple[str, ...], versions: dict[str, Versions | None], now: float) -> Look:
    if look.frame is None:
        return look
    verdict = judge(look.frame, versions, tags, now)
    return look if verdict == "fresh" else look._replace(verdict="invalidated" if verdict == "invalid" else "stale")
