"""Leases: who may load a key, among all processes.

A flight asks for the lease. It gets it, or the value that somebody has stored meanwhile, or the name of the load to
wait for. Who waits is woken by a message and holds no connection; messages may be lost, so it also looks again from
time to time. A wake-up says only that it is worth asking; what is true, the reply to `acquire` says, and it is proof
for those who had joined the flight before it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from holdfast._flight import Bell, Flight, Landing
from holdfast._flights import Flights
from holdfast.commands import Command, Reply
from holdfast.core.call import Call
from holdfast.core.reading import Reading
from holdfast.errors import BackendError, BackendTimeout
from holdfast.policy.frame import ID_OFFSET, ID_SIZE, instant
from holdfast.policy.freshness import Versions, parse_versions, retry_pause
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
    """As granted; only its first half, the nonce, if the reply never came; empty if there is none."""
    granted: bool = False
    versions: Mapping[str, Versions | None] = {}
    """The tags of the call as they were before the load."""
    epoch: Versions | None = None
    """The epoch of all tags before the load, if the load may add some."""


NO_LEASE: Final = Lease()


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
        asking = _Asking(self, port, call, flight, seen=call.look.id)
        try:
            while True:
                answer = await asking.ask()
                if isinstance(answer, float):
                    if await asking.wait(answer):
                        continue
                    return None
                if answer is not _AGAIN:
                    return answer
        except BaseException as error:
            if asking.nonce and not isinstance(error, Exception):
                self.give_back_apart(port, call, asking.nonce)
            raise
        finally:
            asking.hang_up()

    def keep(self, port: Port, call: Call, flight: Flight, lease: Lease) -> Cancel:
        """Renew a lease until what is returned is called, for as long as a load may reasonably take."""
        seconds = call.plan.lease
        places = self.names.places(call.key)
        left = _RENEWED_FOR * 3

        async def renew() -> bool:
            nonlocal left
            left -= 1
            try:
                held = await port.call(scripts.renew(places.lease, token=lease.token, seconds=seconds))
            except BackendError:
                return left > 0  # it may be back in time
            if not held:
                self.flights.close(flight)  # who comes now need not wait for what will not be stored
            return left > 0 and bool(held)

        return port.every(seconds / 3, renew)

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

    def give_back_apart(self, port: Port, call: Call, token: str) -> None:
        """End a lease in work of its own, when this one has been cancelled or interrupted."""
        work = self._sent(port, self.give_back(call, token))
        try:
            port.start(work, _nothing)
        except RuntimeError:  # the loop is gone; the lease runs out
            work.close()

    async def give_back_quietly(self, port: Port, call: Call, token: str) -> None:
        """End a lease if that can be done now; otherwise it runs out."""
        await self._sent(port, self.give_back(call, token))

    async def _sent(self, port: Port, command: Command) -> None:
        try:
            await port.call(command)
        except BackendError:
            return


_AGAIN: Final = Lease("again")


@dataclass(slots=True)
class _Asking:
    """One flight on its way to a lease."""

    leasing: Leasing
    port: Port
    call: Call
    flight: Flight
    seen: bytes
    """The id of the value that is known and cannot be used."""
    nonce: str = ""
    """Of the latest send, until its reply has come."""
    unanswered: bool = False
    watched: str = ""
    """The load that it waits for, if that leaves its result under its token."""
    watched_at: int = 0
    polls: int = 0
    bell: Bell | None = None
    cancel: Cancel | None = None

    async def ask(self) -> Lease | float | None:
        """Ask once. Return the lease, or for how many seconds that of another lasts, or None when landed."""
        replaced, self.nonce = self.nonce, self.port.token()
        if self.bell is not None:
            self.bell.arm()
        number = self.leasing.flights.send(self.flight)
        try:
            replies = await self.port.pipeline(self._commands(replaced))
        except BackendError as error:
            if not self.unanswered and not isinstance(error, BackendTimeout):
                self.unanswered = True  # once more, in place of what the lost one may have got
                return _AGAIN
            self.leasing.reading.failed("EVALSHA", self.call.plan, error)
            if self.call.force:
                raise  # a refresh was asked for; what it was to replace is still there
            return Lease(self.nonce)
        self.unanswered, self.nonce = False, ""
        return await self._answer(number, replies)

    def _commands(self, replaced: str) -> list[Command]:
        call, names, nonce = self.call, self.leasing.names, self.nonce
        places = names.places(call.key)
        left: str | None = places.value or None
        if call.force:
            left, replaced = None, "*"
        elif self.watched:
            left = places.result(self.watched)
        life = call.plan.tag_life
        acquire = scripts.acquire(
            places.lease, left, nonce=nonce, seconds=call.plan.lease, seen=self.seen, replace=replaced
        )
        tags = [names.tag(tag) for tag in call.tags]
        if call.plan.derivation.expected:
            tags.append(names.epoch)
        return [acquire, *(scripts.tag_versions(tag, nonce=nonce, seconds=life) for tag in tags)]

    async def _answer(self, number: int, replies: list[Reply]) -> Lease | float | None:
        """Return what the replies to the flight's command of that number mean."""
        kind, found, *rest = replies[0]
        versions = dict(zip(self.call.tags, map(parse_versions, replies[1:]), strict=False))
        if kind == _VALUE:
            landed = await self._land(found, versions, self.watched_at if self.watched else number)
            self.seen = found[ID_OFFSET : ID_OFFSET + ID_SIZE]
            return None if landed else _AGAIN
        token = found.decode("ascii", "replace")
        if kind == _GRANTED:
            epoch = parse_versions(replies[-1]) if self.call.plan.derivation.expected else None
            return Lease(token, True, versions, epoch)
        if not self.call.plan.keeps:
            self.watched, self.watched_at = token, number
        return float(rest[0]) / 1000

    async def _land(self, raw: bytes, versions: dict[str, Versions | None], proof: int) -> bool:
        """Give the members what another process has stored, if it can be used; say whether it can."""
        call, flight = self.call, self.flight
        look = await self.leasing.reading.examine(self.port, call.plan, call.key, raw, call.tags, versions)
        if look.frame is None or not (look.verdict == "fresh" or self._served(look.frame, look.verdict)):
            return False
        self.leasing.flights.close(flight)
        stored = call.plan.keeps
        if flight.members or not call.background:
            flight.land(Landing(raw, None, stored, proof, "coalesced"))
        return True

    def _served(self, frame: Any, verdict: str) -> bool:
        return verdict == "stale" and self.call.plan.leeway.within_grace(frame, self.port.now())

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


def _nothing() -> None:
    """There is nothing to do at the end."""
