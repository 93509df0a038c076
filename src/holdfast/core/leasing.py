"""Leases: who may load a key, among all processes.

A flight asks for the lease. It gets it, or the value that somebody has stored meanwhile, or the name of the load to
wait for. Who waits is woken by a message and holds no connection; messages may be lost, so it also looks again from
time to time. A wake-up says only that it is worth asking; what is true, the reply to `acquire` says, and it is proof
for those who had joined the flight before it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from holdfast._flight import Bell, Flight, Landing
from holdfast._flights import Flights
from holdfast.commands import Command, Reply
from holdfast.core.call import Call, Look
from holdfast.core.plan import Plan
from holdfast.core.reading import Reading
from holdfast.core.sending import chunks, send
from holdfast.errors import BackendError, BackendTimeout
from holdfast.policy.frame import instant
from holdfast.policy.freshness import Versions, parse_versions, retry_pause
from holdfast.policy.waiting import pause
from holdfast.port import Cancel, Port, WaitOver
from holdfast.scripts import cache as scripts

NONCE: Final = 16
"""How many characters of a token are the nonce that was sent for it."""
_VALUE: Final = 0
_GRANTED: Final = 1
_RENEWED_FOR: Final = 10
"""How many leases long a load is kept alive; one that takes longer hangs, and another process may try."""


class Lease(NamedTuple):
    """The right to store what is loaded from now on."""

    token: str = ""
    """As granted; only its first half, the nonce, if the reply never came; empty if there is none."""
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
    """Asks for leases, keeps them while a load runs, and gives them back."""

    def __init__(self, flights: Flights, reading: Reading) -> None:
        self.flights = flights
        self.reading = reading
        self.names = reading.names

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
                await self.give_back_at_last(port, [(call, flight.nonce)], error)
            raise
        finally:
            asking.hang_up()

    def unheard(self, asking: Sequence[Asking], error: BackendError) -> list[Lease]:
        """Return what follows when those who asked together got no reply: ask again, or load without a lease."""
        if not isinstance(error, BackendTimeout) and not any(one.unanswered for one in asking):
            for one in asking:
                one.unanswered = True  # once more, in place of what the lost one may have got
            return [AGAIN] * len(asking)
        call = asking[0].call
        self.reading.failed("acquire", call.plan, error)
        if call.force:
            raise error  # a refresh was asked for; what it was to replace is still there
        return [Lease(one.flight.nonce) for one in asking]

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
            load.flight.lapsed = has_lapsed

        async def renew() -> bool:
            nonlocal left, loads, until
            left -= 1
            sent = port.monotonic()
            try:
                loads = [load for chunk in chunks(loads) for load in await self._renew(port, chunk, seconds)]
            except BackendError:
                return left > 0  # it may be back in time
            until = sent + seconds
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

    def give_back(self, call: Call, token: str, now: float | None = None) -> Command:
        """Return what ends a lease without a result.

        Args:
            call: what was to be loaded.
            token: the token of the lease, or its nonce.
            now: if the load failed, when; then the next one is tried after a pause in which what is stored is served.
        """
        places = self.names.places(call.key)
        extra = call.plan.leeway.extra
        retry_at = instant(now + retry_pause(extra)) if now is not None and extra else b""
        return scripts.abandon(
            places.value or places.lease, places.lease, token=token, channel=places.news, retry_at=retry_at
        )

    async def give_back_at_last(self, port: Port, leases: Sequence[tuple[Call, str]], error: BaseException) -> None:
        """End leases, each given by its call and its token, when the work is cancelled or interrupted by an error.

        Here and now, since a loop that is about to end waits for the work that it has cancelled, and for no other. If
        that is cut short too, it is tried afterwards; and the next load in this process takes over what is left.
        """
        for call, token in leases:
            self.flights.orphan(call.key, token[:NONCE])
        if not isinstance(error, GeneratorExit):  # then nothing may be awaited any more
            try:
                await self.give_back_all(port, leases)
            except BaseException as again:
                self._give_back_afterwards(port, leases)
                if isinstance(again, KeyboardInterrupt | SystemExit):
                    raise
            return
        self._give_back_afterwards(port, leases)

    def _give_back_afterwards(self, port: Port, leases: Sequence[tuple[Call, str]]) -> None:
        with suppress(RuntimeError):  # the loop is gone
            port.afterwards(lambda: self.give_back_all(port, leases))

    async def give_back_quietly(self, port: Port, call: Call, token: str) -> None:
        """End a lease if that can be done now; otherwise it runs out."""
        await self.give_back_all(port, [(call, token)])

    async def give_back_all(self, port: Port, leases: Sequence[tuple[Call, str]], now: float | None = None) -> None:
        """End several leases if that can be done now; `now` is as for `give_back`."""
        for chunk in chunks(leases):
            try:
                await send(port, [self.give_back(call, token, now) for call, token in chunk])
            except BackendError:
                return
            for call, token in chunk:
                self.flights.given_back(call.key, token[:NONCE])


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
        replaced, self.flight.nonce = self.flight.nonce, self.port.token()
        self.number = self.leasing.flights.send(self.flight)
        call, nonce = self.call, self.flight.nonce
        places = self.leasing.names.places(call.key)
        left: str | None = places.value or None
        if call.force:
            left, replaced = None, "*"
        elif self.watched:
            left = places.result(self.watched)
        return scripts.acquire(
            places.lease, left, nonce=nonce, seconds=call.plan.lease, seen=self.seen, replace=replaced
        )

    def heard(self, reply: Reply, known: Known) -> Lease | Taken | bytes:
        """Return what a reply brings: the lease, that another has it, or a value to look at."""
        kind, found, *rest = reply
        self.unanswered = False
        if kind != _GRANTED:
            self.flight.nonce = ""
        if kind == _VALUE:
            value: bytes = found
            return value
        token = found.decode("ascii", "replace")
        if kind == _GRANTED:
            return Lease(token, True, known.versions, known.epoch)
        if not self.call.plan.keeps:
            self.watched, self.watched_at = token, self.number
        return Taken(float(rest[0]) / 1000)

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
