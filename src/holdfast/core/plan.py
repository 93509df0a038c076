"""What the core has to know about the entries of one function, and what it says about one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from holdfast.codec import Codec
from holdfast.core.records import Tally
from holdfast.policy.freshness import Leeway
from holdfast.policy.lifetime import Lifetime

Status: TypeAlias = Literal["hit", "near", "miss", "stale", "coalesced", "refreshed", "bypassed"]
OnWaitTimeout: TypeAlias = Literal["load", "stale", "raise"]

_DAY = 86400.0
_MARGIN = 3600.0
"""Seconds by which tags outlive the entries: longer than a load takes."""
_LINGER = 5.0
"""Seconds for which a result that is not kept stays for other processes that wait for it."""


@dataclass(slots=True)
class Derivation:
    """Whether loads add tags to their entries. Then the epoch of all tags is read before each load."""

    expected: bool = False
    """Known when decorating, or learned from the first load that does it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How the entries of one function are written and read."""

    codec: Codec
    lifetime: Lifetime
    tally: Tally
    keeps: bool = True
    """Whether results are stored; otherwise concurrent calls share one, and it is gone."""
    leeway: Leeway = field(default_factory=Leeway)
    beta: float = 0.0
    """How eagerly entries are refreshed before they run out; see `freshness.should_refresh_early`."""
    lease: float = 30.0
    """Seconds after which another process may load, if the one that does so dies."""
    wait: float = 30.0
    """Seconds for which a caller waits for another's load before it does what `on_wait_timeout` says."""
    on_wait_timeout: OnWaitTimeout = "load"
    soft_timeout: float | None = None
    """Seconds after which a caller that has a stale value takes it, while the load goes on."""
    hard_timeout: float | None = None
    """Seconds after which a caller gets an error, while the load goes on."""
    near: float = 0.0
    """Seconds for which an entry may be kept in this process; 0 = not at all."""
    condition: Callable[[Any], bool] | None = None
    """Says of a result whether to store it."""
    errors: tuple[type[Exception], ...] = ()
    """Exceptions that are stored like results."""
    tags_of: Callable[[Any], Iterable[str]] | None = None
    """Gives the tags of a result, besides those that the call has."""
    derivation: Derivation = field(default_factory=Derivation)
    missing: Lifetime | None = None
    """How long is kept that there is no value; None: not at all."""
    plain: bool = field(init=False)
    """Whether a hit needs no clock: nothing is served stale, refreshed early or kept near."""
    tag_life: float = field(init=False)
    """Seconds for which the versions of tags are kept at least. One that is gone makes its entries invalid."""

    def __post_init__(self) -> None:
        plain = self.keeps and not (self.beta or self.leeway.extra or self.near)
        object.__setattr__(self, "plain", plain)
        longest = self.lifetime.longest
        if longest is not None and self.missing is not None:
            longest = max(longest, self.missing.longest or 0.0)
        life = _DAY if longest is None else self.kept_for(longest) + _MARGIN
        object.__setattr__(self, "tag_life", life)

    def seconds_for(self, result: object, chance: float) -> float:
        """Return for how many seconds a result is fresh; 0 means not to store it."""
        if self.condition is not None and not self.condition(result):
            return 0.0
        return self.lifetime.seconds_for(result, chance)

    def kept_for(self, fresh: float) -> float:
        """Return for how many seconds Redis keeps what is fresh for so many."""
        return fresh + self.leeway.extra if self.keeps else _LINGER

    @property
    def in_background(self) -> bool:
        """Whether loads outlive the patience of their callers."""
        return self.soft_timeout is not None or self.hard_timeout is not None


Outcome: TypeAlias = tuple[Any, Status, bytes | None]
"""A value, where it came from, and the entry that it was read from. A plain tuple: one is made in every call."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """Where the value of one call came from."""

    status: Status
    """`hit`: a fresh entry; `near`: one in this process; `miss`: it was loaded for this call; `stale`: an entry past
    its freshness; `coalesced`: another caller loaded it meanwhile; `refreshed`: it was loaded because that was asked
    for; `bypassed`: the layer is disabled."""
    age: float
    """Seconds since the value was loaded."""
    remaining: float
    """Seconds for which the entry stays fresh, from the clock of whoever stored it; 0 where nothing was stored."""


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """What is stored under a key, without the value."""

    created: float
    """When the value was loaded, in seconds since 1970."""
    age: float
    """Seconds since then."""
    remaining: float
    """Seconds until Redis drops the entry."""
    fresh: bool
    """Whether it is served as it is; otherwise it is only kept to be served while it is refreshed, or if that fails."""
    tags: tuple[str, ...]
    serializer: str
    size: int
    """Bytes in Redis, frame included."""
