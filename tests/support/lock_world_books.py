"""The books of one Redis: who may hold a lock and who waits, by the rules and not by what the scripts do.

Every command that is executed is compared with them:

    one      nobody is granted what others hold, beyond what may be held together
    again    who holds it is granted it again, whenever the same take is executed
    fence    of two that were granted a lock, the later has the greater number
    order    nobody overtakes those who came before and still count as waiting
    keep     only what is held is renewed or given back, and that always is
    expiry   every key has a time to live
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from holdfast.commands import Command, Reply

if TYPE_CHECKING:
    from support.lock_world import LockWorld

PATIENCE: Final = 1000
"""Milliseconds for which one that was called holds up the others."""
State = dict[str, dict[str, int]]
"""By the key of a lock: members, and until when in milliseconds each counts."""


class LockBooks:
    """What is known of the locks of one Redis."""

    def __init__(self, world: LockWorld) -> None:
        self._world = world
        self.held: State = {}
        self.line: State = {}
        """Who waits, in order of arrival."""
        self.granted: dict[str, float] = {}
        """By member, when it was granted something last."""
        self.touched: dict[str, float] = {}
        """By member, when it was granted something last, or queued."""
        self.minted: dict[tuple[str, int], float] = {}
        """By key and number, when that was granted first."""
        self._hurries = True
        self._fences: dict[str, tuple[int, str]] = {}
        """By key, the greatest number so far, and whose it is. No failover takes them back."""

    def snapshot(self) -> Any:
        """Return what a replica would have now. What is gone does not come back with a clock that is behind."""
        redis, content = self._world.redis, self._world.redis.content()
        held = {key: _kept(members, content.get(key)) for key, members in self.held.items()}
        line = {key: _kept(members, content.get(f"{key}:queue")) for key, members in self.line.items()}
        return deepcopy((redis._values, redis._deadlines, held, line))

    def restore(self, snapshot: Any) -> None:
        """Go back to what a replica had."""
        redis = self._world.redis
        redis._values, redis._deadlines, self.held, self.line = deepcopy(snapshot)

    def holders(self, key: str, leeway: int = 0) -> dict[str, int]:
        """Return who holds a lock now, or did `leeway` milliseconds ago, and until when."""
        now = self._world.server_now() - leeway
        return {member: until for member, until in self.held.get(key, {}).items() if until > now}

    def has(self, key: str, member: str, leeway: int) -> bool:
        """Say whether the server itself has a holder, or had `leeway` milliseconds ago."""
        return self._end_of(key, member) > self._world.server_now() - leeway

    def _end_of(self, key: str, member: str) -> int:
        """Return until when the server itself has a holder; 0 if it has him not."""
        redis = self._world.redis
        value: Any = redis._values.get(key.encode())
        if isinstance(value, dict):
            return int(value.get(member.encode(), 0))
        return redis._deadlines[key.encode()] if value == member.encode() else 0

    def _lease(self, key: str, member: str, milliseconds: int) -> None:
        """Note a lease from now on; one that is longer already may stay so."""
        held, end = self.held.setdefault(key, {}), self._world.server_now() + milliseconds
        found = self._end_of(key, member)
        if found not in {end, max(end, held.get(member, 0))}:
            self._world.broken("keep", f"{member} holds {key} until {found}, and not {end}")
        held[member] = found or end

    def waiting(self, key: str) -> list[str]:
        """Return who counts as waiting now, in order."""
        now = self._world.server_now()
        return [member for member, until in self.line.get(key, {}).items() if until > now]

    def heard(self, topic: str, member: str) -> None:
        """Note a call."""
        del topic
        if not self._hurries:
            return
        limit = self._world.server_now() + PATIENCE
        for line in self.line.values():
            if member in line:
                line[member] = min(line[member], limit)

    def execute(self, command: Command) -> Reply:
        """Execute a command, and see that it kept the rules."""
        redis = self._world.redis
        self._hurries = not self._only_tells(command)
        reply = redis.execute(command)
        if len(redis._values) != len(redis._deadlines):
            self._world.broken("expiry", f"{command.name} left a key for ever")
        verb, kind = [*command.name.split("_"), ""][:2]
        check = getattr(self, f"_see_{verb}", None)
        if check is not None:
            words = command.words[3 + len(command.keys) :]
            check(kind, command.keys[0], str(words[0]), words, reply)
        return reply

    def _only_tells(self, command: Command) -> bool:
        """Say whether the next one is told to look without being hurried: there may be no room."""
        if command.name != "leave_share":
            return False
        held = self.holders(command.keys[0])
        return bool(held) and str(command.words[6]) not in held

    def _see_take(self, kind: str, key: str, member: str, words: Any, reply: Any) -> None:
        others = self.holders(key)
        mine = others.pop(member, None) is not None
        self.touched[member] = self._world.time
        if not reply[0]:
            if mine:
                self._world.broken("again", f"{member} was refused what it holds")
            if kind and int(words[3]):
                if member not in self.waiting(key):  # it comes to the end, again if it was dropped
                    self.line.setdefault(key, {}).pop(member, None)
                self.line.setdefault(key, {})[member] = self._world.server_now() + int(words[4])
            return
        if others and self._exclude(member, others, int(words[5]) if kind == "share" else 1):
            self._world.broken("one", f"{member} was granted {key} while {', '.join(others)} held it")
        self._see_fence(key, member, reply[1], mine=mine)
        if kind:
            if not mine:
                self._see_order(key, member)
            self.line.get(key, {}).pop(member, None)
        self._lease(key, member, int(words[2 if kind else 1]))
        self.granted[member] = self._world.time

    @staticmethod
    def _exclude(member: str, others: dict[str, int], capacity: int) -> bool:
        if not member.startswith("r:") or any(other.startswith("w:") for other in others):
            return True
        return 0 < capacity <= len(others)

    def _see_fence(self, key: str, member: str, fence: int, *, mine: bool) -> None:
        last, whose = self._fences.get(key, (0, ""))
        if fence < last or (fence == last and not (mine and whose == member)):
            self._world.broken("fence", f"{member} has {fence} after {whose} had {last}")
        self._fences[key] = fence, member
        self.minted.setdefault((key, fence), self._world.time)

    def _see_order(self, key: str, member: str) -> None:
        waiting = self.waiting(key)
        before = waiting[: waiting.index(member)] if member in waiting else waiting
        if before:
            self._world.broken("order", f"{member} has overtaken {', '.join(before)}")

    def _see_keep(self, kind: str, key: str, member: str, words: Any, reply: Any) -> None:
        self._see_mine(key, member, reply, "renewed")
        if reply:
            self._lease(key, member, int(words[1]))

    def _see_leave(self, kind: str, key: str, member: str, words: Any, reply: Any) -> None:
        self._see_mine(key, member, reply, "given back")
        self.held.get(key, {}).pop(member, None)
        self.line.get(key, {}).pop(member, None)

    def _see_mine(self, key: str, member: str, reply: Any, what: str) -> None:
        mine = member in self.holders(key, leeway=1 if reply else 0)
        if mine != bool(reply):
            self._world.broken("keep", f"{key} was {'' if reply else 'not '}{what} for {member}")


def _kept(members: dict[str, int], value: Any) -> dict[str, int]:
    """Return those members that a key still has."""
    known = value if isinstance(value, dict) else {value}
    return {member: until for member, until in members.items() if member.encode() in known}
