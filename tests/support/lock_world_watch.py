"""What must hold at every instant, whoever did what.

handle   who is told that he has not lost a lock holds it in Redis
live     whoever waits gets what no living caller holds, within the longest lease and some seconds
left     nothing is left a second after its caller has ended, unless he was killed
kept     a lock of an untroubled process is not lost
stale    a resource that compares numbers takes no write of an earlier holder after one of a later
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast.core.held_lock import Hold
from support.lock_world_actors import LockActor

if TYPE_CHECKING:
    from support.lock_world import LockWorld

_SLACK: Final = 4.0
_SOON: Final = 1.0


class Watch:
    """Looks on."""

    def __init__(self, world: LockWorld) -> None:
        self._world = world
        self.homes: list[Any] = []
        self.holds: list[Hold] = []
        """Those that were handed to their callers and are not given back."""
        self.owners: dict[str, LockActor] = {}
        """Who asked for a token."""
        self.exempt: set[str] = set()
        """Tokens that were granted by a server that is no more."""
        self.failed_at = 0.0
        """When another server took over, if one did."""
        self.behind = 0.0
        """Seconds by which its clock is behind: leases last so much longer there."""
        self.longest = 0.0
        """The longest lease that anybody asks for, in seconds."""
        self._ended: dict[LockActor, float] = {}
        self._idle: dict[str, float] = {}
        """By key, since when no living caller holds it."""
        self._written: dict[str, tuple[int, float]] = {}

    def frozen(self, number: int) -> bool:
        """Say whether a process stands still."""
        return any(home.frozen for home in self.homes if home.number == number)

    def look(self) -> None:
        """Look whether all is well."""
        self._see_handles()
        self._see_left()
        self._see_waiting()

    def ended(self, actor: LockActor) -> None:
        """Note that an actor has ended."""
        self._ended[actor] = self._world.time

    def owner_of(self, member: str) -> LockActor | None:
        """Return whose a member is."""
        return self.owners.get(member.rpartition(":")[2])

    def failover(self) -> None:
        """Note that another server answers now: what the old one has granted may not hold."""
        self.failed_at = self._world.time
        self.exempt.update(self._world.books.granted)

    def _see_handles(self) -> None:
        books = self._world.books
        for hold in self.holds:
            if hold.is_left or hold.member in self.exempt or hold.lost:
                continue
            key = hold.claim.places.held
            if not books.has(key, hold.member, leeway=1):
                self._world.broken("handle", f"{hold.member} believes to hold {key}, and does not")

    def _see_left(self) -> None:
        world = self._world
        for state in (world.books.held, world.books.line):
            for key in state:
                found = world.books.holders(key) if state is world.books.held else world.books.waiting(key)
                for member in found:
                    actor = self.owner_of(member)
                    ended = self._ended.get(actor) if actor is not None else None
                    if actor is None or ended is None or actor.home.dead or member in self.exempt:
                        continue
                    if ended <= self.failed_at:  # that it was given back may not have been copied
                        continue
                    at = world.books.touched[member]
                    if world.time > max(ended, at, world.quiet_since) + max(0.0, at - ended) + _SOON:
                        world.broken("left", f"{member} of {actor.name} stays at {key}")

    def _see_waiting(self) -> None:
        world, bound = self._world, self.longest + _SLACK + self.behind
        waiting = [actor for actor in world.actors if getattr(actor, "waits_for", "") and not actor.home.frozen]
        for key in {actor.waits_for for actor in waiting}:  # type: ignore[attr-defined]
            busy = any(self._is_alive(member) for member in world.books.holders(key))
            if busy:
                self._idle.pop(key, None)
                continue
            idle = self._idle.setdefault(key, world.time)
            dead = sum(not self._is_alive(member) for member in world.books.line.get(key, ()))
            for actor in waiting:
                since = max(idle, actor.since, world.quiet_since)  # type: ignore[attr-defined]
                if actor.waits_for == key and world.time > since + bound + 1.1 * dead:  # type: ignore[attr-defined]
                    world.broken("live", f"{actor.name} waits for {key}, which nobody holds who lives")

    def _is_alive(self, member: str) -> bool:
        actor = self.owner_of(member)
        return actor is not None and not (actor.over or actor.home.dead or actor.home.frozen)

    def was_lost(self, hold: Hold) -> None:
        """Note that a caller is told that he has lost a lock."""
        actor = self.owner_of(hold.member)
        if actor is None or actor.home.troubled or self.failed_at or hold.claim.max_lifetime is not None:
            return
        self._world.broken("kept", f"{hold.member} was lost though nothing had happened")

    def write(self, hold: Hold) -> None:
        """Let the resource take a write, if its number is not smaller than one before."""
        key = hold.claim.places.held
        at = self._world.books.minted[key, hold.fence]
        fence, granted = self._written.get(key, (0, 0.0))
        if hold.fence < fence:
            return
        if at < granted:
            self._world.broken("stale", f"{hold.member} wrote after a later holder")
        self._written[key] = hold.fence, at
