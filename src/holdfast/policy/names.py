"""Which keys and channels belong together: those of one entry share the name in braces, and so the cluster's slot."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

LockKind: TypeAlias = Literal["lock", "semaphore", "rwlock"]
_LOCK_KINDS: Final[tuple[LockKind, ...]] = ("lock", "semaphore", "rwlock")


class Places(NamedTuple):
    """Where the parts of one entry are."""

    value: str
    """The key of the value; empty for what is only shared while it loads, and not kept."""
    lease: str
    news: str
    """The channel that tells of fills, failures and invalidations."""

    def result(self, token: str) -> str:
        """Return the key of a result that is not kept, for those who wait under its lease."""
        return f"{self.lease}:{token}"


class LockPlaces(NamedTuple):
    """Where the parts of one lock are."""

    held: str
    """Who holds it: a string, or of what several may hold a sorted set."""
    fence: str
    """The last fencing token."""
    queue: str
    """Who waits, in order of arrival."""
    alive: str
    """Until when each of those counts as waiting."""
    news: str
    """The channel that tells who may try."""


class Names:
    """The keys of one namespace, made of the key of a value or the name of a tag.

    Example:
        >>> Names("shop").places("shop:cache:{product:7}").lease
        'shop:lease:{product:7}'
    """

    __slots__ = ("_start", "entries", "epoch", "flights", "limits")

    def __init__(self, namespace: str) -> None:
        self._start = f"{namespace}:" if namespace else ""
        self.entries = f"{self._start}cache:{{"
        """What the keys of values begin with."""
        self.flights = f"{self._start}flight:{{"
        """What the keys of leases begin with under which nothing is kept."""
        self.epoch = f"{self._start}tag-epoch"
        self.limits = f"{self._start}limit:{{"
        """What the keys of limits begin with."""

    def places(self, key: str) -> Places:
        """Return where the parts of an entry are, from its key."""
        name = key[key.index("{") :]
        if key.startswith(self.flights):
            return Places("", key, f"{self._start}flight-news:{name}")
        return Places(key, f"{self._start}lease:{name}", f"{self._start}news:{name}")

    def tag(self, tag: str) -> str:
        """Return the key of a tag's versions."""
        return f"{self._start}tag:{{{tag}}}"

    def tag_news(self, tag: str) -> str:
        """Return the channel that tells of a tag's invalidations."""
        return f"{self._start}tag-news:{{{tag}}}"

    def key_of(self, news: str) -> str | None:
        """Return the key of the value that a channel tells of; None if it tells of no value of ours.

        Other programs may publish under the same patterns whatever they like.
        """
        start = f"{self._start}news:{{"
        return self.entries + news[len(start) :] if news.startswith(start) and news.endswith("}") else None

    def tag_of(self, name: str) -> str | None:
        """Return the tag that a key or a channel belongs to; None if it belongs to none."""
        for start in (f"{self._start}tag:{{", f"{self._start}tag-news:{{"):
            if name.startswith(start) and name.endswith("}"):
                return name[len(start) : -1]
        return None

    def session(self, handle: str) -> str:
        """Return the key of a session."""
        return f"{self._start}session:{{{handle}}}"

    def session_user(self, name: str) -> tuple[str, str]:
        """Return where a user's sessions are: the key of their index, and of the mark that they were revoked.

        Args:
            name: of the user, escaped and shortened.
        """
        index = f"{self._start}session-user:{{{name}}}"
        return index, f"{index}:revoked"

    def once(self, name: str) -> str:
        """Return the key of what is known of a thing that is to be done once; `name` is escaped and shortened."""
        return f"{self._start}idempotency:{{{name}}}"

    def once_news(self, key: str) -> str:
        """Return the channel that tells that such a thing was ended or given up, from its key."""
        return f"{self._start}idempotency-news:{key[key.index('{') :]}"

    def lock(self, kind: LockKind, name: str) -> LockPlaces:
        """Return where the parts of a lock are.

        Args:
            kind: what holds together: one lock, the permits of a semaphore, or readers and writers.
            name: escaped and shortened.
        """
        held = f"{self._start}{kind}:{{{name}}}"
        return LockPlaces(
            held, f"{held}:fence", f"{held}:queue", f"{held}:alive", f"{self._start}{kind}-news:{{{name}}}"
        )

    def lock_at(self, held: str) -> tuple[LockKind, LockPlaces]:
        """Return what kind of lock a key holds, and where its parts are."""
        kind, _, name = held[len(self._start) :].partition(":{")
        for known in _LOCK_KINDS:
            if kind == known:
                return known, self.lock(known, name[:-1])
        msg = f"{kind!r} is no kind of lock"
        raise ValueError(msg)

    @property
    def patterns(self) -> tuple[str, str]:
        """The patterns of all channels that tell of entries and of tags."""
        start = "".join(f"\\{each}" if each in "*?[]\\^-" else each for each in self._start)
        return f"{start}news:{{*", f"{start}tag-news:{{*"

    @property
    def tracked(self) -> tuple[str, str]:
        """What the keys of values and of tags begin with."""
        return self.entries, f"{self._start}tag:{{"
