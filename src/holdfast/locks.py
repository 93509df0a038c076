"""Locks as users make them: `layer.lock`, semaphores, readers and writers, several at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Unpack

from holdfast.commands import Command
from holdfast.core.lock_claims import Claim
from holdfast.engine import Engine
from holdfast.entered import current_owner
from holdfast.errors import ConfigurationError
from holdfast.lock_blocks import Block, grip, refuse_own
from holdfast.lock_handles import Held, held_already, note_acquired
from holdfast.lock_several import MultiHeld
from holdfast.lock_terms import LeaseOptions, LockOptions, MultiLockOptions, Terms, checked_count, checked_terms
from holdfast.options import refuse_unknown
from holdfast.policy.keys import guard
from holdfast.policy.names import LockKind
from holdfast.port import Port

_MICROSECONDS: Final = 1_000_000
_MOST_KNOWN: Final = 4096
"""Locks that are remembered, since most programs make one anew for each block; some make names up for each call."""
_LONGEST_KNOWN: Final = 200
"""Characters of a name that is remembered."""


class Lock(Block[Held]):
    """One lock: plain, of readers or writers, or one permit of a semaphore.

    Example:
        >>> from holdfast import Layer
        >>> layer = Layer("memory://lock-example")
        >>> with layer.lock("import", lease=30) as held:
        ...     held.lost
        False
    """

    def __init__(self, engine: Engine, claim: Claim, terms: Terms) -> None:
        super().__init__(engine, terms, "a lock")
        self._engine = engine
        self._claim = claim

    def locked(self) -> bool:
        """Return whether anybody holds it now, in any process. It may be old news when it arrives."""
        return bool(self._engine.blocking.call_now(self._exists()))

    async def alocked(self) -> bool:
        """Do what `locked` does, for async callers."""
        return bool(await self._engine.asyncio.call(self._exists()))

    def _exists(self) -> Command:
        key = self._claim.places.held
        return Command(("EXISTS", key), (key,), True)

    async def _take(self, port: Port, *, in_block: bool) -> Held:
        engine, claim = self._engine, self._claim
        if engine.off.get():
            return Held(engine, engine.locks.pretend(claim, port.token(), int(port.now() * _MICROSECONDS)))
        owner, reentrant = current_owner(), self._terms.reentrant
        if reentrant and (known := held_already(engine, claim.places.held, owner)) is not None:
            return _noted(known.enter_again(), in_block)
        can_enter_again = not claim.mode and not reentrant
        refuse_own(engine, claim, owner, ", or make both reentrant=True" if can_enter_again else "")
        hold = await engine.locks.acquire(port, claim, port.token())
        try:
            held = Held(engine, hold, grip(claim, owner) if in_block or reentrant else None)
            return _noted(held, in_block) if reentrant else held
        except BaseException:  # interrupted
            engine.locks.release_at_last(port, hold)
            raise

    def __repr__(self) -> str:
        return f"<{self._claim.what.capitalize()} {self._claim.title}>"


def _noted(held: Held, in_block: bool) -> Held:
    """Note what is acquired by hand and may be entered again; a block notes for itself what it holds."""
    if not in_block:
        note_acquired(held)
    return held


class MultiLock(Block[MultiHeld]):
    """Several locks at once: all of them, or none."""

    def __init__(self, engine: Engine, claims: Iterable[Claim], terms: Terms) -> None:
        super().__init__(engine, terms, "several locks")
        self._engine = engine
        self._claims = tuple(claims)

    async def _take(self, port: Port, *, in_block: bool) -> MultiHeld:
        engine = self._engine
        if engine.off.get():
            fence = int(port.now() * _MICROSECONDS)
            pretended = [engine.locks.pretend(claim, port.token(), fence) for claim in self._claims]
            return MultiHeld(engine, [Held(engine, hold) for hold in pretended])
        owner = current_owner()
        for claim in self._claims:
            refuse_own(engine, claim, owner)
        holds = await engine.locks.acquire_all(port, self._claims)
        grips = [grip(claim, owner) if in_block else None for claim in self._claims]
        return MultiHeld(engine, [Held(engine, *each) for each in zip(holds, grips, strict=True)])

    def __repr__(self) -> str:
        return f"<MultiLock {', '.join(repr(claim.name) for claim in self._claims)}>"


class ReadWriteLock:
    """A lock that many readers may hold together, or one writer alone.

    They get it in the order in which they come: a writer who waits holds back those who come later.

    Example:
        >>> from holdfast import Layer
        >>> stock = Layer("memory://read-write-example").read_write_lock("stock")
        >>> with stock.write(lease="10s") as held:
        ...     held.lost
        False
    """

    def __init__(self, name: str, make: Callable[..., Lock]) -> None:
        self._name = name
        self._make = make

    def read(self, **options: Unpack[LeaseOptions]) -> Lock:
        """Return what reads beside others; the options are those of `Layer.semaphore`."""
        return self._make("r", "read lock", options)

    def write(self, **options: Unpack[LeaseOptions]) -> Lock:
        """Return what writes alone; the options are those of `Layer.semaphore`."""
        return self._make("w", "write lock", options)

    def __repr__(self) -> str:
        return f"<ReadWriteLock {self._name!r}>"


def claim_of(
    engine: Engine,
    name: str,
    terms: Terms,
    *,
    kind: LockKind = "lock",
    what: str = "lock",
    pattern: str = "",
    given: str = "",
) -> Claim:
    """Return what a lock of a layer comes to.

    Args:
        engine: of the layer.
        name: escaped and shortened.
        terms: how it is held.
        kind: what holds together.
        what: the kind in words.
        pattern: under which it is counted; what it is, if that is not given.
        given: the name as the user gave it; the other one, if that is not given.
    """
    if terms.min_replicas and engine.backend.topology.kind == "memory":
        msg = "min_replicas= needs a Redis with replicas; memory:// has none"
        raise ConfigurationError(msg)
    return Claim(
        given or name,
        what,
        engine.caching.names.lock(kind, name),
        engine.recorder.tally(pattern or what),
        terms.lease,
        terms.wait,
        terms.fair,
        max_lifetime=terms.max_lifetime,
        min_replicas=terms.min_replicas,
    )


def make_lock(engine: Engine, name: str, options: LockOptions) -> Lock:
    """Return a plain lock."""
    refuse_unknown("lock", options, LockOptions.__optional_keys__)
    terms = checked_terms(options)
    known = engine.claims.get((name, terms)) if isinstance(name, str) else None  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
    if known is None:
        known = claim_of(engine, guard(name, "name"), terms, given=name)
        if len(engine.claims) < _MOST_KNOWN and len(name) <= _LONGEST_KNOWN:
            engine.claims[name, terms] = known
    return Lock(engine, known, terms)


def make_semaphore(engine: Engine, name: str, permits: int, options: LeaseOptions) -> Lock:
    """Return one permit of a semaphore."""
    refuse_unknown("semaphore", options, LeaseOptions.__optional_keys__)
    terms = checked_terms(options)
    claim = claim_of(engine, guard(name, "name"), terms, kind="semaphore", what="semaphore", given=name)
    return Lock(engine, replace(claim, mode="r", capacity=checked_count(permits, "permits", 1)), terms)


def make_read_write_lock(engine: Engine, name: str) -> ReadWriteLock:
    """Return a lock of readers and writers."""
    guarded = guard(name, "name")

    def make(mode: Any, what: str, options: LeaseOptions) -> Lock:
        refuse_unknown(what, options, LeaseOptions.__optional_keys__)
        terms = checked_terms(options)
        claim = claim_of(engine, guarded, terms, kind="rwlock", what=what, given=name)
        return Lock(engine, replace(claim, mode=mode, capacity=0), terms)

    return ReadWriteLock(name, make)


def make_multi_lock(engine: Engine, names: Iterable[str], options: MultiLockOptions) -> MultiLock:
    """Return several locks, sorted, so that no two callers wait for each other."""
    refuse_unknown("multi_lock", options, MultiLockOptions.__optional_keys__)
    if isinstance(names, str) or not isinstance(names, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are often untyped
        msg = f"multi_lock takes several names, such as ['account:1', 'account:2'], not {names!r}"
        raise ConfigurationError(msg)
    guarded = {guard(name, "name"): name for name in names}
    if not guarded:
        msg = "multi_lock needs at least one name"
        raise ConfigurationError(msg)
    terms = checked_terms(options)
    return MultiLock(
        engine, [claim_of(engine, safe, terms, given=given) for safe, given in sorted(guarded.items())], terms
    )
