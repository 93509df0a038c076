"""Many leases at once: they are asked for in one pipeline, and those of others are waited for together.

    reply for a key     what follows
    granted             it is loaded with the others that were granted
    a value, fresh      its members have it
    a value, not usable ask again at once
    wait                ask again when its own message comes, or with all the others at a poll

Who waits holds no lease: what was granted is loaded and stored before. So two calls with the same ids in opposite order
cannot wait for each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from holdfast._flight import Bell
from holdfast.core.batch import Rider
from holdfast.core.call import Look
from holdfast.core.leasing import AGAIN, NO_LEASE, Asking, Held, Known, Lease, Leasing, Taken
from holdfast.core.plan import Plan
from holdfast.core.sending import chunks
from holdfast.errors import BackendError
from holdfast.policy.waiting import pause
from holdfast.port import Cancel, Port, WaitOver

_UNAVAILABLE: Final = Look("unavailable")
_GATHERING: Final = 0.002
"""Seconds after a message in which others may come: what is stored in one pipeline is then asked for in one."""


class _Bells(Bell):
    """One bell for many keys, which knows whose message has come."""

    __slots__ = ("_rung",)

    def __init__(self) -> None:
        super().__init__()
        self._rung: deque[str] = deque()

    def ring_for(self, key: str) -> None:
        """Ring."""
        self._rung.append(key)
        self._ring()

    def taken(self) -> set[str]:
        """Return for whom it has rung since the last time."""
        keys: set[str] = set()
        while self._rung:
            keys.add(self._rung.popleft())
        return keys


class _Chime:
    """Rings the common bell for one key."""

    __slots__ = ("_bells", "_key", "hears")

    def __init__(self, bells: _Bells, key: str) -> None:
        self._bells = bells
        self._key = key
        self.hears = False

    def up(self) -> None:
        """Ring: what was published before may have been missed."""
        self.hears = True
        self._bells.ring_for(self._key)

    def down(self) -> None:
        """Ring, so that the wait is planned anew."""
        self.hears = False
        self._bells.ring_for(self._key)

    def heard(self, topic: str, message: bytes) -> None:
        """Ring."""
        del topic, message
        self._bells.ring_for(self._key)


class BatchAsking:
    """The flights of one call on their way to leases."""

    def __init__(self, leasing: Leasing, port: Port, plan: Plan, riders: Sequence[Rider]) -> None:
        self._leasing = leasing
        self._port = port
        self._plan = plan
        self._due: list[Asking] = [
            Asking(leasing, port, each.call, each.flight, seen=each.call.look.id) for each in riders
        ]
        self._waiting: dict[str, tuple[Asking, float]] = {}
        self._bells = _Bells()
        self._chimes: dict[str, _Chime] = {}
        self._cancels: list[Cancel] = []
        self._polls = 0

    async def ask(self) -> list[Held]:
        """Ask for all that it is worth to ask for; return what is to be loaded.

        Raises:
            BackendError: Redis could not be used, and the layer does not bypass it.
        """
        held: list[Held] = []
        while self._due:
            due, self._due = self._due, []
            for chunk in chunks(due):
                for asking, answer in zip(chunk, await self._ask(chunk), strict=True):
                    if answer is AGAIN:
                        self._due.append(asking)
                    elif isinstance(answer, Taken):
                        self._waiting[asking.call.key] = asking, answer.lasts
                    elif answer is not None:
                        held.append(Held(asking.call, asking.flight, answer))
        return held

    async def _ask(self, asking: Sequence[Asking]) -> list[Lease | Taken | None]:
        """Ask once; return what `Asking.ask` does, for each."""
        tags = list(dict.fromkeys(tag for one in asking for tag in one.call.tags))
        commands = [one.acquire() for one in asking]
        commands += self._leasing.tag_reads(self._plan, tags, self._port.token())
        try:
            replies = await self._port.pipeline(commands)
        except BackendError as error:
            return [*self._leasing.unheard(asking, error)]
        known = Known.of(tags, replies[len(asking) :])
        answers = [one.heard(reply, known) for one, reply in zip(asking, replies, strict=False)]
        found = [(one, raw) for one, raw in zip(asking, answers, strict=True) if isinstance(raw, bytes)]
        landed = iter(await self._land(found, known))
        return [next(landed) if isinstance(answer, bytes) else answer for answer in answers]

    async def _land(self, found: Sequence[tuple[Asking, bytes]], known: Known) -> list[Lease | None]:
        """Give values that others have stored to the members; return what follows for each."""
        if not found:
            return []
        calls = [one.call for one, _ in found]
        try:
            looks = await self._leasing.reading.examine_all(
                self._port,
                self._plan,
                [call.key for call in calls],
                [raw for _, raw in found],
                [call.tags for call in calls],
                dict(known.versions),
            )
        except BackendError as error:  # the tags that only the entries name could not be read
            self._leasing.reading.failed("MGET", self._plan, error)
            return [NO_LEASE] * len(found)
        return [None if one.land(look) else AGAIN for (one, _), look in zip(found, looks, strict=True)]

    async def wait(self, deadline: float) -> bool:
        """Wait until it is worth asking again; say whether there is time and reason to."""
        for key, (asking, _) in list(self._waiting.items()):
            flight = asking.flight
            if flight.cancelled or (asking.call.background and not flight.members):
                del self._waiting[key]
                self._leasing.flights.close(flight)
                flight.ended()
        left = deadline - self._port.monotonic()
        if left <= 0 or not self._waiting:
            return False
        self._listen()
        lease = min(lasts for _, lasts in self._waiting.values())
        hears = all(self._chimes[key].hears for key in self._waiting)
        try:
            await self._port.wait(
                self._bells.armed, min(left, pause(self._polls, lease, self._port.random(), hears=hears))
            )
            if len(self._waiting) > 1:
                await self._port.sleep(_GATHERING)
            self._bells.arm()  # before it is asked who has rung, so that nobody is missed
            keys = self._bells.taken() & self._waiting.keys()
        except WaitOver:
            self._polls += 1
            keys = set(self._waiting)
        self._due = [self._waiting.pop(key)[0] for key in list(self._waiting) if key in keys]
        return True

    def _listen(self) -> None:
        for key in self._waiting:
            if key not in self._chimes:
                chime = self._chimes[key] = _Chime(self._bells, key)
                self._cancels.append(self._port.subscribe(self._leasing.names.places(key).news, chime))

    def hang_up(self) -> None:
        """Stop listening."""
        for cancel in self._cancels:
            cancel()
