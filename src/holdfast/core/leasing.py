"""Leases: who may load a key, among all processes.

A flight asks for the lease. It gets it, or the value that somebody has stored meanwhile, or the name of the load to
wait for. Who waits is woken by a message and holds no connection; messages may be lost, so it also looks again from
time to time. A wake-up says only that it is worth asking; what is true, the reply to `acquire` says, and it is proof
for those who had joined the flight before it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from holdfast._flight import Bell, Flight, Landing
from holdfast._flights import Flights
from holdfast.commands import Command, Reply
from holdfast.core.call import Call, Look
from holdfast.core.plan import Plan
from holdfast.core.reading import Reading
from holdfast.core.returning import NONCE, Returning
from holdfast.core.sending import chunks, send
from holdfast.errors import BackendError, BackendTimeout
from holdfast.policy.freshness import Versions, parse_versions
from holdfast.policy.waiting import pause
from holdfast.port import Cancel, Port, WaitOver
from holdfast.scripts import cache as scripts

_VALUE: Final = 0
_GRANTED: Final = 1
_RENEWED_FOR: Final = 10
"""How many leases long a load is kept alive; one that takes longer hangs, and another process may try."""


class Lease(NamedTuple):
    """The right to store what is loaded from now on."""

    token: str = ""
    """As granted; empty if there is none."""
    granted: bool = False
    versions: Mapping[str, Versions | None] = {}
    """The tags of the call as they were before the load."""
    epoch: Versions | None = None
    """The epoch of all tags before the load, if the load may add some."""


NO_LEASE: Final = Lease()


class Taken(NamedTuple):
    """Instead of a lease: another process has it."""

    lasts: float
    """Seconds until it runs out, if it is not renewed."""


class Held(NamedTuple):
    """A load that is to be done, and what it may store."""

    call: Call
    flight: Flight
    lease: Lease


class Known(NamedTuple):
    """What was read of tags together with an `acquire`."""

    versions: dict[str, Versions | None]
    epoch: Versions | None = None

    @classmethod
    def of(cls, tags: Sequence[str], replies: Sequence[Reply]) -> Known:
        """Return what the replies to `Leasing.tag_reads` say."""
        versions = [parse_versions(reply) for reply in replies]
        epoch = versions.pop() if len(versions) > len(tags) else None
        return cls(dict(zip(tags, versions, strict=True)), epoch)


class Leasing:
    """Asks for leases, and keeps them while a load runs."""

    def __init__(self, flights: Flights, reading: Reading) -> None:
        self.flights = flights
        self.reading = reading
        self.names = reading.names
        self.orphans = flights.orphans
        self.returning = Returning(flights, reading.names)

    async def obtain(self, port: Port, call: Call, flight: Flight) -> Lease | None:
        """Return the lease of a key; None if the flight has landed or given up, so that nothing is to be loaded.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
        """
        asking = Asking(self, port, call, flight, seen=call.look.id)
        try:
            while True:
                answer = await asking.ask()
                if isinstance(answer, Taken):
                    if await asking.wait(answer.lasts):
                        continue
                    return None
                if answer is not AGAIN:
                    return answer
        except BaseException as error:
            if flight.nonce and not isinstance(error, Exception):
                await self.returning.give_back_at_last(port, [(call, flight.nonce)], error)
            raise
        finally:
            asking.hang_up()

    def unheard(self, asking: Sequence[Asking], error: BackendError) -> list[Lease]:
        """Return what follows when those who asked together got no reply: ask again, or load without a lease.

        They may have got leases all the same, under which nothing will run.
        """
        for one in asking:
            one.renounce()
        if not isinstance(error, BackendTimeout) and not any(one.unanswered for one in asking):
            for one in asking:
                one.unanswered = True
            return [AGAIN] * len(asking)
        call = asking[0].call
        self.reading.failed("acquire", call.plan, error)
        if call.force:
            raise error  # a refresh was asked for; what it was to replace is still there
        return [NO_LEASE] * len(asking)

    def tag_reads(self, plan: Plan, tags: Sequence[str], nonce: str) -> list[Command]:
        """Return what reads the tags of entries before their load, and the epoch if the load may add tags."""
        keys = [self.names.tag(tag) for tag in tags]
        if plan.derivation.expected:
            keys.append(self.names.epoch)
        return [scripts.tag_versions(key, nonce=nonce, seconds=plan.tag_life) for key in keys]

    def keep(self, port: Port, *held: Held) -> Cancel:
        """Renew the leases of one load until what is returned is called, for as long as it may reasonably take."""
        seconds = held[0].call.plan.lease
        loads: Sequence[Held] = held
        left = _RENEWED_FOR * 3
        until = port.monotonic() + seconds

        def has_lapsed() -> bool:
            return port.monotonic() > until

        for load in held:
            load.flight.lapsed, load.flight.leased_until = has_lapsed, until

        async def renew() -> bool:
            nonlocal left, loads, until
            left -= 1
            sent = port.monotonic()
            try:
                loads = [load for chunk in chunks(loads) for load in await self._renew(port, chunk, seconds)]
            except BackendError:
                return left > 0  # it may be back in time
            until = sent + seconds
            for load in loads:
                load.flight.leased_until = until
            if left <= 0:
                for load in loads:  # who comes now need not wait for what hangs
                    self.flights.close(load.flight)
            return left > 0 and bool(loads)

        return port.every(seconds / 3, renew)

    async def _renew(self, port: Port, loads: Sequence[Held], seconds: float) -> list[Held]:
        """Renew leases; return those that are still held."""
        renewals: list[Command] = []
        for load in loads:
            places = self.names.places(load.call.key)
            renewals.append(scripts.renew(places.lease, token=load.lease.token, seconds=seconds))
        replies = await send(port, renewals)
        for load, held in zip(loads, replies, strict=True):
            if not held:
                self.flights.close(load.flight)  # who comes now need not wait for what will not be stored
        return [load for load, held in zip(loads, replies, strict=True) if held]


AGAIN: Final = Lease("again")
"""Instead of a lease: ask again at once."""


@dataclass(slots=True)
class Asking:
    """One flight on its way to a lease."""

    leasing: Leasing
    port: Port
    call: Call
    flight: Flight
    seen: bytes
    """The id of the value that is known and cannot be used."""
    replaced: str = ""
    """The nonce of an orphaned lease that its latest command takes over."""
    unanswered: bool = False
    watched: str = ""
    """The load that it waits for, if that leaves its result under its token."""
    watched_at: int = 0
    number: int = 0
    """Of its latest command, among those of the flight."""
    polls: int = 0
    bell: Bell | None = None
    cancel: Cancel | None = None

    async def ask(self) -> Lease | Taken | None:
        """Ask once. Return the lease, or that another has it, or None when landed."""
        call = self.call
        if self.bell is not None:
            self.bell.arm()
        acquire = self.acquire()
        tags = self.leasing.tag_reads(call.plan, call.tags, self.flight.nonce)
        try:
            replies = await self.port.pipeline([acquire, *tags])
        except BackendError as error:
            return self.leasing.unheard([self], error)[0]
        known = Known.of(call.tags, replies[1:])
        answer = self.heard(replies[0], known)
        if not isinstance(answer, bytes):
            return answer
        reading = self.leasing.reading
        try:
            look = await reading.examine(self.port, call.plan, call.key, answer, call.tags, known.versions)
        except BackendError as error:  # the tags that only the entry names could not be read
            reading.failed("MGET", call.plan, error)
            return NO_LEASE
        return None if self.land(look) else AGAIN

    def acquire(self) -> Command:
        """Return the command that asks for the lease. From now on it counts as sent."""
        self.leasing.returning.tend(self.port)
        call, nonce = self.call, self.port.token()
        self.flight.nonce, self.flight.leased_until = nonce, self.port.monotonic() + call.plan.lease
        self.number = self.leasing.flights.send(self.flight)
        places = self.leasing.names.places(call.key)
        left: str | None = places.value or None
        self.replaced = self.leasing.orphans.latest(call.key)
        if call.force:
            left, self.replaced = None, "*"
        elif self.watched:
            left = places.result(self.watched)
        return scripts.acquire(
            places.lease, left, nonce=nonce, seconds=call.plan.lease, seen=self.seen, replace=self.replaced
        )

    def heard(self, reply: Reply, known: Known) -> Lease | Taken | bytes:
        """Return what a reply brings: the lease, that another has it, or a value to look at."""
        kind, found, *rest = reply
        key, orphans = self.call.key, self.leasing.orphans
        self.unanswered = False
        if kind != _GRANTED:
            self.flight.nonce = ""
        if kind == _VALUE:
            value: bytes = found
            return value
        token = found.decode("ascii", "replace")
        if kind == _GRANTED:
            orphans.remove(key, self.replaced)
            return Lease(token, True, known.versions, known.epoch)
        if orphans.recall(key, token[:NONCE]):
            return AGAIN  # to take it over, since that load is over
        if not self.call.plan.keeps:
            self.watched, self.watched_at = token, self.number
        return Taken(float(rest[0]) / 1000)

    def renounce(self) -> None:
        """Note that nothing will run under the lease that was asked for last."""
        self.leasing.returning.renounce(self.port, [(self.call, self.flight.nonce)])
        self.flight.nonce = ""

    def land(self, look: Look) -> bool:
        """Give the members what another process has stored, if it is fresh; say whether it is.

        A stale value is for those who have read it themselves: a member may have come after what made it stale.
        """
        call, flight = self.call, self.flight
        self.seen = look.id
        if look.verdict != "fresh":
            return False
        self.leasing.flights.close(flight)
        stored, proof = call.plan.keeps, self.watched_at if self.watched else self.number
        if flight.members or not call.background:
            flight.land(Landing(look.raw, None, stored, proof, "coalesced"))
        return True

    async def wait(self, lease: float) -> bool:
        """Wait until it is worth asking again; say whether there is time and reason to."""
        left = self.flight.deadline - self.port.monotonic()
        if left <= 0 or (self.call.background and not self.flight.members):
            return False
        if self.bell is None:
            self.bell = Bell()
            self.cancel = self.port.subscribe(self.leasing.names.places(self.call.key).news, self.bell)
        patience = min(left, pause(self.polls, lease, self.port.random(), hears=self.bell.hears))
        try:
            await self.port.wait(self.bell.armed, patience)
        except WaitOver:
            self.polls += 1
        return True

    def hang_up(self) -> None:
        """Stop listening."""
        if self.cancel is not None:
            self.cancel()
