"""Mistakes with tags and with the near cache, each by one changed method."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast._flight import Flight
from holdfast.core import changing, encoding, reading, settling
from holdfast.core.nearby import Nearby
from holdfast.core.reading import Reading
from holdfast.core.settling import Settling
from holdfast.policy.freshness import Versions, parse_versions, stamps_of
from holdfast.scripts import cache as scripts


def stamp_after_load(patch: pytest.MonkeyPatch) -> None:
    """The versions of tags are read after the load."""
    right = Settling.keep

    async def keep(self: Settling, port: Any, call: Any, flight: Flight, lease: Any, *args: Any) -> None:
        reads = [scripts.tag_versions(self._names.tag(tag), nonce=port.token(), seconds=9999) for tag in call.tags]
        found = dict(zip(call.tags, map(parse_versions, await port.pipeline(reads)), strict=True))
        await right(self, port, call, flight, lease._replace(versions=found), *args)

    patch.setattr(Settling, "keep", keep)


def missing_is_valid(patch: pytest.MonkeyPatch) -> None:
    """A missing version counts as a match."""
    right = reading.judge

    def judge(frame: Any, versions: Any, *args: Any) -> Any:
        own = {stamp.tag: Versions(stamp.hard, stamp.soft) for stamp in frame.stamps}
        return right(frame, {tag: found or own[tag] for tag, found in versions.items() if found or tag in own}, *args)

    patch.setattr(reading, "judge", judge)


def stale_ignores_tags(patch: pytest.MonkeyPatch) -> None:
    """What may be served as stale is not asked for its hard versions."""
    right = reading._judged

    def judged(*args: Any) -> Any:
        look = right(*args)
        return look._replace(verdict="stale") if look.verdict == "invalidated" else look

    patch.setattr(reading, "_judged", judged)


def tag_versions_remembered(patch: pytest.MonkeyPatch) -> None:
    """A process compares with the versions that it has read before."""
    right = Reading.examine_all
    memory: dict[tuple[Reading, str], Any] = {}

    async def examine(self: Reading, port: Any, plan: Any, keys: Any, raws: Any, tags: Any, versions: Any) -> Any:
        for tag, found in versions.items():
            versions[tag] = memory.setdefault((self, tag), found) or found
        return await right(self, port, plan, keys, raws, tags, versions)

    patch.setattr(Reading, "examine_all", examine)


def fill_proof_without_tags(patch: pytest.MonkeyPatch) -> None:
    """STORED is proof enough for followers of a tagged entry."""
    patch.setattr(Settling, "needs_proof", lambda *_: False)


def proof_missing_is_equal(patch: pytest.MonkeyPatch) -> None:
    """A version that is missing when tags are read again counts as unchanged."""
    right = settling.unchanged

    def unchanged(stamps: Any, found: Any) -> bool:
        return right([stamp for stamp in stamps if found.get(stamp.tag) is not None], found)

    patch.setattr(settling, "unchanged", unchanged)


def no_epoch_check(patch: pytest.MonkeyPatch) -> None:
    """Tags of the result are stamped without comparing the epoch."""

    def after(_: Any, __: Any, tags: tuple[str, ...], found: Any) -> Any:
        return None if found is None else stamps_of({tag: found.versions[tag] for tag in tags})

    patch.setattr(encoding, "stamps_after", after)


def missing_epoch_is_equal(patch: pytest.MonkeyPatch) -> None:
    """An epoch that is missing when it is read again counts as unchanged."""
    right = encoding.stamps_after

    def after(plan: Any, lease: Any, tags: Any, found: Any) -> Any:
        if found is not None and found.epoch is None:
            found = found._replace(epoch=lease.epoch)
        return right(plan, lease, tags, found)

    patch.setattr(encoding, "stamps_after", after)


def near_no_generation(patch: pytest.MonkeyPatch) -> None:
    """The near cache stores whatever was heard since the read."""
    right = Nearby.keep

    def keep(self: Nearby, port: Any, plan: Any, key: str, found: Any, moment: Any) -> None:
        right(self, port, plan, key, found, moment._replace(snapshot=self.near.snapshot()))

    patch.setattr(Nearby, "keep", keep)


def near_ttl_from_store(patch: pytest.MonkeyPatch) -> None:
    """The near cache counts its time from when it stores."""
    right = Nearby.keep

    def keep(self: Nearby, port: Any, plan: Any, key: str, found: Any, moment: Any) -> None:
        right(self, port, plan, key, found, moment._replace(sent=port.monotonic()))

    patch.setattr(Nearby, "keep", keep)


def bump_before_only(patch: pytest.MonkeyPatch) -> None:
    """The near cache drops a key before the command is sent, and not after."""

    async def change(caching: Any, port: Any, plan: Any, keys: Any, sent: Any) -> Any:
        for key in keys:
            caching.nearby.near.bump(key)
        replies = await port.pipeline(sent)
        caching.flights.detach(keys)
        return replies

    patch.setattr(changing, "_change", change)
