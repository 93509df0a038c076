"""The right to fetch a URL and to store what comes: a turn in the process, and the lease among all processes.

The lease is that of the cache: granted before the app is asked, revoked by whatever invalidates the URL, and without
it nothing is stored. Who waits, waits for a limited time, holds no connection, and looks for itself when it is woken.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final, Protocol

from holdfast._flight import Bell
from holdfast._turns import Turn, Turns
from holdfast.commands import Command, get
from holdfast.core.call import Call
from holdfast.core.http_pages import NOTHING, Found, Pages
from holdfast.core.leasing import NO_LEASE, Lease, Leasing
from holdfast.core.returning import NONCE
from holdfast.errors import BackendError
from holdfast.policy.freshness import Versions, parse_versions
from holdfast.policy.waiting import pause
from holdfast.port import Cancel, Port, WaitOver
from holdfast.scripts import cache as scripts

_AROUND: ContextVar[tuple[tuple[str, Turn], ...]] = ContextVar("holdfast_fetching", default=())
"""The turns that the current code runs in, with their keys: an app that asks itself must not wait for itself."""
AWAY: Final = Lease("away")
"""Instead of a lease: Redis could not be used."""
_RENEWED_FOR: Final = 10
"""How many leases long a fetch is kept alive."""
_VALUE: Final = 0
_GRANTED: Final = 1


@dataclass(slots=True)
class Right:
    """The right to fetch one URL; without a lease, to fetch it and store nothing."""

    lease: Lease = NO_LEASE
    turn: Turn | None = None
    stop: Cancel | None = None
    """Ends the renewal of the lease."""
    away: bool = False
    """Whether there is no lease since Redis could not be used."""

    @property
    def token(self) -> str:
        """The token of the lease; empty if there is none."""
        return self.lease.token


class Wish(Protocol):
    """What a request wants while it waits: it may come to want something else."""

    waited: bool
    """Whether it had to wait for another request."""
    looked: bool
    """Whether it has seen what is stored."""

    @property
    def found(self) -> Found:
        """What it has found, and cannot use."""
        ...

    @property
    def deadline(self) -> float:
        """When it stops waiting for others, on the port's monotonic clock; in the past, at once."""
        ...

    def still(self, later: Found) -> bool:
        """Look at what was found later, and say whether the right to fetch is still wanted."""
        ...


class Fetching:
    """Grants rights to fetch, for one cache."""

    def __init__(self, leasing: Leasing, turns: Turns, pages: Pages, *, tagged: bool) -> None:
        self._leasing = leasing
        self.names = leasing.names
        self.orphans = leasing.orphans
        self.returning = leasing.returning
        self._turns = turns
        self.pages = pages
        self._tagged = tagged
        self._epoch_exists = False
        """Whether the epoch of all tags was there when it was last looked at, so that reading it is enough."""

    async def obtain(self, port: Port, call: Call, wish: Wish) -> Right | None:
        """Return the right to fetch a URL; None if it is not wanted any more, by what was found meanwhile.

        Args:
            port: of the caller.
            call: names the URL and its plan.
            wish: what the caller has found and cannot use, and for how long it waits for others.
        """
        key = call.key
        if self.is_around(key):
            return Right()
        own = Turn(port.place(), port.lifeline())
        while (turn := self._turns.take(key, own)) is not own:
            if wish.looked:  # who has not may find what it needs without waiting for anybody
                wish.waited = True
                if not await self._waited(port, turn, wish.deadline):
                    return Right()
            if not wish.still(await self.pages.read(port, key)):
                return None
        right = Right(turn=own)
        try:
            answer = await self._ask(port, call, wish)
        except BaseException:
            self.end(key, right)
            raise
        if isinstance(answer, Found) or not answer.granted:
            self.end(key, right)
            return None if isinstance(answer, Found) else Right(away=answer is AWAY)
        right.lease, right.stop = answer, self._keep(port, call, answer.token)
        _enter(key, own)
        return right

    def is_around(self, key: str) -> bool:
        """Say whether the current code runs in a fetch of a URL: the app asks itself, or there are two caches."""
        return any(around == key and not turn.ended.done() for around, turn in _AROUND.get())

    async def take(self, port: Port, call: Call) -> Right:
        """Take the right from whoever has it, for a request that changes the resource and may bring its new state."""
        asking = _Asking(self, port, call, NOTHING, force=True)
        try:
            answer = await asking.ask()
        except BaseException as error:
            await self.returning.give_back_at_last(port, [(call, asking.nonce)], error)
            raise
        if not isinstance(answer, Lease) or not answer.granted:
            return Right()
        own = Turn(port.place(), port.lifeline())
        _enter(call.key, own)
        return Right(answer, own, self._keep(port, call, answer.token))

    def end(self, key: str, right: Right) -> None:
        """Note that a fetch is over, and wake who waits for it in this process."""
        if right.stop is not None:
            right.stop()
            right.stop = None
        if right.turn is not None:
            self._turns.end(key, right.turn)

    async def _waited(self, port: Port, turn: Turn, deadline: float) -> bool:
        """Wait for another's turn to end; say whether it did in time."""
        left = deadline - port.monotonic()
        if left <= 0 or not port.may_wait_for(turn.place):
            return False
        try:
            await port.wait(turn.ended, left)
        except WaitOver:
            return False
        return True

    async def _ask(self, port: Port, call: Call, wish: Wish) -> Lease | Found:
        """Ask Redis for the lease until it is granted, is not wanted any more, or the time is over."""
        asking = _Asking(self, port, call, wish.found)
        try:
            while True:
                answer = await asking.ask()
                if isinstance(answer, Lease):
                    return answer
                if isinstance(answer, Found):
                    if not wish.still(answer):
                        return answer
                    asking.found = answer
                elif answer:
                    wish.waited = True
                    if not await asking.wait(answer, wish.deadline):
                        return NO_LEASE
        except BaseException as error:
            if asking.nonce and not isinstance(error, Exception):
                await self.returning.give_back_at_last(port, [(call, asking.nonce)], error)
            raise
        finally:
            asking.hang_up()

    def _keep(self, port: Port, call: Call, token: str) -> Cancel:
        """Renew a lease until what is returned is called, for as long as a fetch may reasonably take."""
        seconds = call.plan.lease
        left = _RENEWED_FOR * 3

        async def renew() -> bool:
            nonlocal left
            left -= 1
            try:
                held = await port.call(scripts.renew(self.names.places(call.key).lease, token=token, seconds=seconds))
            except BackendError:
                return left > 0  # it may be back in time
            return bool(held) and left > 0

        return port.every(seconds / 3, renew)

    def read_epoch(self, call: Call, nonce: str) -> list[Command]:
        """Return what reads the epoch of all tags before the fetch, if its response may have some."""
        if not self._tagged:
            return []
        if self._epoch_exists:
            return [get(self.names.epoch)]
        return [scripts.tag_versions(self.names.epoch, nonce=nonce, seconds=call.plan.tag_life)]

    def note_epoch(self, replies: list[bytes | None]) -> Versions | None:
        """Return the epoch that was read."""
        if not replies:
            return None
        epoch = parse_versions(replies[0])
        self._epoch_exists = epoch is not None
        return epoch


def _enter(key: str, turn: Turn) -> None:
    """Note that the current code runs in a turn.

    Nobody takes it off again, since a request may end in another context: a turn that has ended is none.
    """
    _AROUND.set((*[each for each in _AROUND.get() if not each[1].ended.done()], (key, turn)))


class _Asking:
    """One request on its way to a lease."""

    def __init__(self, fetching: Fetching, port: Port, call: Call, found: Found, *, force: bool = False) -> None:
        self._fetching = fetching
        self._port = port
        self._call = call
        self.found = found
        self._force = force
        self.nonce = ""
        """Of the lease that was asked for and may have been granted."""
        self._polls = 0
        self._bell: Bell | None = None
        self._cancel: Cancel | None = None

    async def ask(self) -> Lease | Found | float:
        """Ask once. Return the lease (`AWAY` without Redis), what is stored, or for how long another has it."""
        fetching, port, call = self._fetching, self._port, self._call
        if self._bell is not None:
            self._bell.arm()
        places = fetching.names.places(call.key)
        nonce = self.nonce = port.token()
        replaced = "*" if self._force else fetching.orphans.latest(call.key)
        acquire = scripts.acquire(
            places.lease,
            None if self._force else places.value,
            nonce=nonce,
            seconds=call.plan.lease,
            seen=self.found.id,
            replace=replaced,
        )
        try:
            (kind, what, *rest), *epoch = await port.pipeline([acquire, *fetching.read_epoch(call, nonce)])
        except BackendError as error:
            fetching.returning.renounce(port, [(call, nonce)])
            self.nonce = ""
            fetching.pages.failed("acquire", error)
            return AWAY
        known = fetching.note_epoch(epoch)
        if kind == _GRANTED:
            fetching.orphans.remove(call.key, replaced)
            return Lease(what.decode("ascii", "replace"), True, {}, known)
        self.nonce = ""
        if kind == _VALUE:
            return await fetching.pages.examine(port, call.key, what, {})
        token = what.decode("ascii", "replace")
        if fetching.orphans.recall(call.key, token[:NONCE]):
            return 0.0  # to take it over at once, since that fetch is over
        return max(float(rest[0]) / 1000, 0.001)

    async def wait(self, lease: float, deadline: float) -> bool:
        """Wait until it is worth asking again; say whether there is time to."""
        port = self._port
        left = deadline - port.monotonic()
        if left <= 0:
            return False
        if self._bell is None:
            self._bell = Bell()
            self._cancel = port.subscribe(self._fetching.names.places(self._call.key).news, self._bell)
        try:
            await port.wait(
                self._bell.armed, min(left, pause(self._polls, lease, port.random(), hears=self._bell.hears))
            )
        except WaitOver:
            self._polls += 1
        return True

    def hang_up(self) -> None:
        """Stop listening."""
        if self._cancel is not None:
            self._cancel()
