"""Every kind of lock, made alike, and what happens to locks behind their holders' backs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast import Held, Layer, LockNotAcquired, MultiHeld, lock_handles
from holdfast.commands import Reply
from support.colours import Colour
from support.peeking import ask
from support.staged import Stage

Make = Callable[..., Any]
KINDS: Final[dict[str, Make]] = {
    "plain": lambda layer, **options: layer.lock("k", **options),
    "fair": lambda layer, **options: layer.lock("k", fair=True, **options),
    "permit": lambda layer, **options: layer.semaphore("k", 1, **options),
    "reader": lambda layer, **options: layer.read_write_lock("k").read(**options),
    "writer": lambda layer, **options: layer.read_write_lock("k").write(**options),
    "several": lambda layer, **options: layer.multi_lock(["k", "k2"], **options),
}
"""How each kind is made of a layer; all of one kind are for the same thing."""
ALONE: Final = {name: make for name, make in KINDS.items() if name != "reader"}
"""Those that one holds alone."""


def parts(held: Held | MultiHeld) -> tuple[Held, ...]:
    """Return the locks of one or several."""
    return held.held if isinstance(held, MultiHeld) else (held,)


def noted() -> tuple[Held, ...]:
    """Return what is noted as held in blocks around the caller."""
    return lock_handles._blocks.get()


def key_of(held: Held) -> str:
    """Return the key under which Redis has a lock."""
    return held._hold.claim.places.held


def take_away(layer: Layer, held: Held | MultiHeld) -> None:
    """Delete a lock behind its holder's back, as an eviction or an operator does."""
    key = key_of(parts(held)[0])
    ask(layer, "DEL", key, key=key)


def in_redis(layer: Layer, key: str) -> Reply:
    """Say whether a key exists."""
    return ask(layer, "EXISTS", key, key=key)


def die(layer: Layer, held: Held | MultiHeld) -> None:
    """Renew a lock no more, and never give it back: as a process that dies."""
    for each in parts(held):
        layer.engine.locks.renewing.remove(each._hold)


def stage_renewals(layer: Layer) -> Stage:
    """Return a stage on which renewals, too, are run by hand."""
    stage = Stage(layer, timeless=True)
    layer.engine.locks.renewing._port = layer.engine.blocking
    return stage


async def is_free(colour: Colour, lock: Any) -> bool:
    """Say whether somebody else could take a lock now; give it back."""
    try:
        async with colour.using(lock):
            return True
    except LockNotAcquired:
        return False


def waiting(layer: Layer) -> int:
    """Return how many callers of a layer wait in its lobbies."""
    lobbies = tuple(layer.engine.locks.lobbies._lobbies.values())
    return sum(len(lobby._seats) + len(lobby._called) for lobby in lobbies)


def queued(layer: Layer, kind: str = "lock", name: str = "k") -> int:
    """Return how many wait in the queue in Redis."""
    key = layer.engine.caching.names.lock(kind, name).queue  # type: ignore[arg-type]
    count: int = ask(layer, "ZCARD", key, key=key)
    return count
