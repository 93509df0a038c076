"""Locks as they should be: models that know who holds and who waits, and a server that executes the real scripts.

The verbs of the models are called like the functions of `scripts.locks`, with the same arguments and replies; only the
places are left out. `now` is set before each.
"""

from __future__ import annotations

from typing import Any, Final

from holdfast.commands import Command, Reply, milliseconds
from holdfast.policy.names import LockKind, Names
from support.lua_redis import LuaRedis

BEGIN: Final = 1_700_000_000_123_456
"""When stories begin, in microseconds."""
PATIENCE: Final = 1000
"""Milliseconds for which one that was called holds up the others."""
HOUR: Final = 3_600_000
_EXACT: Final = 2**53


class Model:
    """What locks of all kinds have: those who wait, in order of arrival, and fencing tokens."""

    def __init__(self) -> None:
        self.micros = BEGIN
        self.alive: dict[str, int] = {}
        """Who waits, in order, and until when in milliseconds each counts."""
        self.fence: int | None = None
        self.news: list[str] = []
        self._fence_until = 0

    @property
    def now(self) -> int:
        """Return the time in whole milliseconds."""
        return self.micros // 1000

    @property
    def head(self) -> str | None:
        """Return the first of those who wait."""
        return next(iter(self.alive), None)

    def waiting(self) -> list[tuple[str, int]]:
        """Return who counts as waiting now, in order."""
        return [(member, until) for member, until in self.alive.items() if until > self.now]

    def call(self, member: str) -> None:
        """Tell a waiter that it may look, for a moment."""
        self.alive[member] = min(self.alive[member], self.now + PATIENCE)
        self.news.append(member)

    def lose_fence(self) -> None:
        """Lose the key of the fencing token."""
        self.fence = None

    def _look(self) -> None:
        self.alive = dict(self.waiting())
        self._see_fence()

    def _see_fence(self) -> None:
        if self._fence_until < self.now:
            self.fence = None

    def _mint(self) -> int:
        self._see_fence()
        return self._remember(max((self.fence or 0) + 1, self.micros))

    def _remember(self, fence: int) -> int:
        self.fence, self._fence_until = fence, self.now + HOUR
        return fence

    def _line_up(self, member: str, waits: bool, waiting: float) -> int:
        if waits:
            self.alive[member] = self.now + milliseconds(waiting)
        return list(self.alive).index(member) + 1 if member in self.alive else 0

    def _called_in(self, member: str) -> int:
        if self.alive[member] > self.now + PATIENCE:
            self.call(member)
        return self.alive[member] - self.now


class LockModel(Model):
    """A lock that one holds; some of those who want it queue, others do not."""

    def __init__(self) -> None:
        super().__init__()
        self._holder, self._until = "", 0

    def holders(self) -> dict[str, int]:
        """Return who holds it, and until when in milliseconds."""
        if self._until < self.now:
            self._holder = ""
        return {self._holder: self._until} if self._holder else {}

    def take(self, member: str, seconds: float) -> Reply:
        if self.holders().keys() - {member}:
            return [0, max(1, self._until - self.now)]
        self._see_fence()
        if member not in self.holders() or self.fence is None:
            self._mint()
        self._holder, self._until = member, self.now + milliseconds(seconds)
        return [1, self.fence]

    def keep(self, member: str, seconds: float) -> Reply:
        if member not in self.holders():
            return 0
        self._until = self.now + milliseconds(seconds)
        return 1

    def leave(self, member: str) -> Reply:
        if member not in self.holders():
            return 0
        self._holder = ""
        self.news.append("")
        return 1

    def take_fair(self, member: str, seconds: float, waits: bool, waiting: float) -> Reply:
        self._look()
        held = self.holders()
        if member in held or (not held and self.head in {None, member}):
            self.alive.pop(member, None)
            return self.take(member, seconds)
        place = self._line_up(member, waits, waiting)
        if not held:
            return [0, self._called_in(str(self.head)), place]
        return [0, -1 if place > 1 else max(1, self._until - self.now), place]

    def leave_fair(self, member: str) -> Reply:
        self._look()
        held, waited = member in self.holders(), self.alive.pop(member, None)
        if held:
            self._holder = ""
        if (held or waited) and not self.holders():
            if self.head:
                self.call(self.head)
            else:
                self.news.append("")
        return int(held)

    def fix_fence(self, member: str, fence: int) -> Reply:
        if member not in self.holders():
            return 0
        self._see_fence()
        if fence > (self.fence or 0):
            self._remember(fence)
        return 1


class ShareModel(Model):
    """What several may hold, or one writer."""

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, int] = {}

    def holders(self) -> dict[str, int]:
        """Return who holds a part, and until when in milliseconds."""
        return {member: until for member, until in self._held.items() if until > self.now}

    def take_share(
        self, member: str, seconds: float, capacity: int, exclusive: bool, waits: bool, waiting: float
    ) -> Reply:
        self._look()
        held = self._held = self.holders()
        mine = self.room_in(exclusive, capacity)
        if member in held or (self.head in {None, member} and not mine):
            held[member] = self.now + milliseconds(seconds)
            self.alive.pop(member, None)
            if self.head and not self.room_in(_is_writer(self.head), capacity):
                self.call(self.head)
            return [1, self._mint()]
        place = self._line_up(member, waits, waiting)
        if self.head in {None, member}:
            return [0, mine, place]
        room = self.room_in(_is_writer(self.head), capacity)
        if not room:
            return [0, self._called_in(str(self.head)), place]
        return [0, -1 if place else room, place]

    def keep_share(self, member: str, seconds: float) -> Reply:
        if member not in self.holders():
            return 0
        self._held[member] = self.now + milliseconds(seconds)
        return 1

    def leave_share(self, member: str) -> Reply:
        self._look()
        held = self._held = self.holders()
        left, waited = held.pop(member, None), self.alive.pop(member, None)
        if (left or waited) and self.head and not self.room_in(_is_writer(self.head), 0):
            if left or not held:
                self.call(self.head)
            else:
                self.news.append(self.head)
        return int(left is not None)

    def room_in(self, exclusive: bool, capacity: int) -> int:
        """Return the milliseconds until there is room if nobody leaves."""
        ends = sorted(until - self.now for until in self.holders().values())
        if exclusive or any(map(_is_writer, self.holders())):
            return max(ends, default=0)
        return ends[len(ends) - capacity] if 0 < capacity <= len(ends) else 0


def _is_writer(member: str | None) -> bool:
    return bool(member and member.startswith("w:"))


class LockServer:
    """The real scripts, on a clock that the test sets in whole microseconds.

    Of every step it is checked that each key has a time to live, and that all numbers in replies are whole and exact in
    Lua.
    """

    def __init__(self, kind: LockKind = "lock") -> None:
        self.now = BEGIN
        self.redis = _Counting(micros=lambda: self.now)
        self.places = Names("").lock(kind, "name")

    def call(self, command: Command) -> Reply:
        """Execute a command."""
        self.redis.calls.clear()
        reply = self.redis.execute(command)
        assert all(left >= 0 for left in self.redis.ttls().values())
        numbers: list[Any] = reply if command.name.startswith("take") else [reply]
        assert all(type(number) is int and -1 <= number < _EXACT for number in numbers), reply
        return reply

    def news(self) -> list[str]:
        """Return what was told since the last time."""
        told, self.redis.published = self.redis.published, []
        assert all(channel == self.places.news for channel, _ in told)
        return [message.decode() for _, message in told]

    def waiting(self) -> list[tuple[str, int]]:
        """Return who counts as waiting now, in order, and until when."""
        content: Any = self.redis.content()
        order, alive = content.get(self.places.queue, {}), content.get(self.places.alive, {})
        assert alive.keys() == order.keys()
        assert len(set(order.values())) == len(order)
        line = sorted(order, key=order.__getitem__)
        return [(each.decode(), int(alive[each])) for each in line if alive[each] > self.now // 1000]

    def holders(self) -> dict[str, int]:
        """Return who holds it, and until when in milliseconds."""
        now, held = self.now // 1000, self.redis.content().get(self.places.held, {})
        if isinstance(held, bytes):
            return {held.decode(): now + self.redis.ttls()[self.places.held]}
        assert isinstance(held, dict)
        return {member.decode(): int(until) for member, until in held.items() if until > now}


class _Counting(LuaRedis):
    """A server that notes what its scripts call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: list[str] = []

    def _call(self, name: bytes, *arguments: Any) -> Any:
        self.calls.append(name.decode())
        return super()._call(name, *arguments)
