"""Whether an entry may be served: by its tags, by the clock, and by how much staleness a user allows.

Tags decide what is *right*: an entry whose hard version is gone or differs was loaded before an invalidation, and no
allowance makes it usable. The clock decides only what is *fresh*. Pure: clock and chance are arguments; `now` is
always Unix seconds, as in the frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias

from holdfast._durations import seconds
from holdfast.policy.frame import Frame
from holdfast.policy.stamps import Stamp
from holdfast.typing import Duration

Verdict: TypeAlias = Literal["fresh", "stale", "invalid"]

_HALF: Final = 32
"""Characters of one version."""
_DOT: Final = ord(".")
_SMALLEST: Final = 2.0**-53
"""The smallest number above 0 that 1 minus a random number can be."""
_SHORTEST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0


class Versions(NamedTuple):
    """The two versions of a tag, as Redis has them."""

    hard: str
    """Changes when the tag is invalidated: what was stored before must not be used."""
    soft: str
    """Changes then, and when the tag is made stale: what was stored before may be served while it is refreshed."""


def parse_versions(raw: bytes | None) -> Versions | None:
    """Return what the key of a tag holds, or None if it is missing or is no pair of versions.

    None means to every user of it that entries with this tag are invalid, so whatever else lies there is safe.
    """
    if raw is None or len(raw) != 2 * _HALF + 1 or raw[_HALF] != _DOT or not raw.isascii():
        return None
    text = raw.decode("ascii")
    return Versions(text[:_HALF], text[_HALF + 1 :])


def judge(frame: Frame, versions: Mapping[str, Versions | None], declared: Iterable[str], now: float) -> Verdict:
    """Say what an entry is worth.

    Args:
        frame: the entry.
        versions: the tags that were read after the caller started, each with what was found.
        declared: the tags that the entry must carry. One that it lacks is invalid: nobody could invalidate it.
        now: Unix seconds.

    Returns:
        "invalid": it may be older than an invalidation; never serve it.
        "stale": past its time where it lingers, or a tag was made stale; serve it only as `Leeway` allows.
        "fresh": neither.
    """
    stale = frame.lingers and now >= frame.fresh_until  # the others are gone from Redis when their time is over
    missing = set(declared)
    for tag, hard, soft in frame.stamps:
        current = versions.get(tag)
        if current is None or current.hard != hard:
            return "invalid"
        stale = stale or current.soft != soft
        missing.discard(tag)
    if missing:
        return "invalid"
    return "stale" if stale else "fresh"


def unread(frame: Frame, versions: Mapping[str, Versions | None]) -> tuple[str, ...]:
    """Return the tags of an entry that must be read before it can be judged.

    A tag that was read and found missing has been read; it is not among them.
    """
    return tuple(dict.fromkeys(stamp.tag for stamp in frame.stamps if stamp.tag not in versions))


def stamps_of(versions: Mapping[str, Versions | None]) -> tuple[Stamp, ...]:
    """Return the stamps of an entry from the versions that its tags had before the load.

    A tag without versions gets a stamp that matches nothing, so that the entry is invalid. Left out, the stamp would
    make it immune to that tag.
    """
    return tuple(Stamp(tag, *(found or ("", ""))) for tag, found in versions.items())


def unchanged(stamps: Iterable[Stamp], versions_now: Mapping[str, Versions | None]) -> bool:
    """Say whether no tag was invalidated or made stale since the stamps were taken.

    A version that is missing counts as changed: it may have been invalidated, and evicted since.
    """
    for tag, hard, soft in stamps:
        current = versions_now.get(tag)
        if current is None or current != (hard, soft):
            return False
    return True


def should_refresh_early(frame: Frame, now: float, beta: float, chance: float) -> bool:
    """Say whether this caller should refresh an entry that is still fresh, so that it never runs out for everybody.

    Each caller draws for itself: the dearer the load and the nearer the end, the likelier (Vattani, Chierichetti,
    Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", 2015). An entry that took longer to load than it
    stays fresh is refreshed nearly all the time, one load after another; that is the only way to keep it fresh.

    Args:
        frame: the entry.
        now: Unix seconds.
        beta: 1 is the optimum, more is earlier, 0 never.
        chance: a random number in [0, 1).
    """
    if not beta > 0:
        return False
    ahead = frame.load_time * beta * -math.log(max(1.0 - chance, _SMALLEST))
    return now + ahead >= frame.fresh_until


def may_retry(frame: Frame, now: float) -> bool:
    """Say whether a refresh may be tried: not while the pause after a failed one lasts."""
    return now >= frame.retry_at


def retry_pause(allowance: float) -> float:
    """Return for how many seconds no load is tried after one that failed.

    A source that is down must not be asked for every request, and one that is back should be found soon: a tenth of
    the allowance, from half a second to ten; never longer than the allowance itself, in which the stale value is
    served instead.

    Args:
        allowance: seconds beyond its freshness for which the entry may be served, as `Leeway.extra`.
    """
    return min(allowance, max(_SHORTEST_PAUSE, min(allowance / 10, _LONGEST_PAUSE)))


@dataclass(frozen=True, slots=True)
class Leeway:
    """For how much longer than it is fresh an entry may be served.

    Both allowances count from the frame's own `fresh_until`, also for an entry that is stale because a tag was made so:
    nobody knows when that was, so it may be served for as long as it would have been without. Making a tag stale
    therefore never lengthens the life of an entry. An allowance of zero serves nothing stale, even before
    `fresh_until`. An entry whose `fresh_until` was overwritten with zero has lost the instant to count from; it is
    outside both windows.

    Neither window reaches past the hard limit, `fresh_until` plus `extra`, at which Redis drops the entry.
    """

    grace: float = 0.0
    """Seconds for which it is served at once, while one caller refreshes it in the background."""
    stale_if_error: float = 0.0
    """Seconds for which it is served if the loader fails."""

    @classmethod
    def of(cls, grace: Duration = 0, stale_if_error: Duration = 0) -> Leeway:
        """Check what a user gave.

        Raises:
            ConfigurationError: one of them is no duration.
        """
        return cls(seconds(grace, "grace", zero=True), seconds(stale_if_error, "stale_if_error", zero=True))

    @property
    def extra(self) -> float:
        """Seconds beyond `fresh_until` for which Redis keeps an entry."""
        return max(self.grace, self.stale_if_error)

    def within_grace(self, frame: Frame, now: float) -> bool:
        """Say whether a stale entry may be served while it is refreshed."""
        return self.grace > 0 and now < frame.fresh_until + self.grace

    def within_error_window(self, frame: Frame, now: float) -> bool:
        """Say whether a stale entry may be served because the loader failed."""
        return self.stale_if_error > 0 and now < frame.fresh_until + self.stale_if_error
