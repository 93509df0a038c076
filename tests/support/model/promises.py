"""What callers may get: the promises P1 and P1-near, against a model of a few lines.

The source of a key is a version that only grows. An invalidation notes the version when it is called, and counts from
when it has returned. A caller that starts then must get no older version:

    key, hard tag     not at all
    soft tag          only if what it gets is marked stale
    near cache        in another process, until the message was handled, and not beyond `near` seconds

What Redis does not answer suspends this for one kind of caller only: one that shares a load that runs without a lease,
since Redis could not be asked for one, may miss the invalidations that *other* processes made after the load began.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from support.model.world import World


@dataclass(eq=False, slots=True)
class Change:
    """An invalidation, or a write, that has returned."""

    version: int
    process: int
    called: float
    returned: float
    soft: bool
    messages: list[Any]
    """What it published."""


@dataclass(eq=False, slots=True)
class Load:
    """One call of the loader."""

    process: int
    leased: bool


@dataclass(eq=False, slots=True)
class Caller:
    """Somebody who wants a value, as the world was when it began."""

    process: Any
    began: float
    changes: int
    unheard: tuple[Change, ...]
    """Those that its process need not know of in its near cache."""
    deaf: bool
    """Whether the process knows that it hears nothing."""


@dataclass(eq=False)
class Promises:
    """The source of one key, and what was promised about it."""

    world: World
    near: float = 0.0
    version: int = 1
    changes: list[Change] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    def commit(self) -> int:
        """Change the source."""
        self.version += 1
        return self.version

    def begin(self, process: Any) -> Caller:
        """Note that a caller starts."""
        now = self.world.time
        unheard = tuple(
            change
            for change in self.changes
            if self.near
            and change.process != process.number
            and now < change.returned + self.near
            and not all(process.number in message.known for message in change.messages)
        )
        deaf = bool(self.near) and not any(ear.is_up for ear in process.subscriber.ears if len(ear.topics) > 1)
        return Caller(process, now, len(self.changes), unheard, deaf)

    def calling(self) -> tuple[int, float, int]:
        """Return what `returned` needs of a call: the version, the time, and how much had been published."""
        return self.version, self.world.time, len(self.world.published)

    def returned(
        self, process: Any, called: tuple[int, float, int], *, soft: bool = False, news: bytes = b"gone"
    ) -> None:
        """Note that a change has returned.

        Args:
            process: whose it is.
            called: what `calling` gave.
            soft: whether older values may still be served as stale.
            news: how its messages begin.
        """
        version, at, since = called
        messages = [message for message in self.world.published[since:] if message.body.startswith(news)]
        self.changes.append(Change(version, process.number, at, self.world.time, soft, messages))
        self.world.say("PROMISED", version, "soft" if soft else "hard", "by process", process.number)

    def loading(self, process: Any, *, leased: bool) -> int:
        """Note that the loader is called; return the number of the call."""
        self.loads.append(Load(process.number, leased))
        return len(self.loads) - 1

    def check(self, caller: Caller, value: int, status: str) -> None:
        """See that a caller got nothing too old."""
        version, number = divmod(value, 1000)
        load = self.loads[number]
        self.world.say("GOT", version, status, "in process", caller.process.number)
        for change in self.changes[: caller.changes]:
            if version >= change.version or (change.soft and status == "stale"):
                continue
            if status == "near" and change in caller.unheard:
                continue
            foreign = change.process != caller.process.number
            if foreign and self._unproven(caller, load, status):
                continue
            near = bool(self.near) and status == "near"
            what = f"{status} version {version} after version {change.version} was promised"
            self.world.broken("P1-near" if near else "P1", what)
        if status == "near" and caller.deaf:
            self.world.broken("P1-near", "served while nothing is heard")

    def check_described(self, caller: Caller, created: float) -> None:
        """See that an entry that was described is not from before a hard change."""
        for change in self.changes[: caller.changes]:
            if created < change.called and not change.soft:
                self.world.broken("P1", f"described what was loaded before version {change.version} was promised")

    @staticmethod
    def _unproven(caller: Caller, load: Load, status: str) -> bool:
        """Say whether a caller shared a load that Redis knew nothing of."""
        ours = load.process == caller.process.number
        return status == "coalesced" and caller.process.failures > 0 and ours and not load.leased
