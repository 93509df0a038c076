"""What Redis knows of a session beside its data, and what is to become of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


class Known:
    """What Redis knows of a session. Most requests want none of it, so it is worked out when somebody asks."""

    __slots__ = ("_raw", "_times", "handle", "persistent", "secret", "user")

    def __init__(
        self,
        handle: str = "",
        secret: str = "",
        user: str = "",
        times: tuple[float, float, float] | None = None,
        raw: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Note it.

        Args:
            handle: of the session; empty if it is not stored.
            secret: by which it was loaded; empty for our own code, which knows it by its handle.
            user: whose it is; empty if nobody's.
            times: when it was created and when it ends whatever happens, in Unix seconds, and its idle time.
            raw: the fields that tell these times, instead.
        """
        self.handle = handle
        self.secret = secret
        self.user = user
        self._times = times
        self._raw = raw
        self.persistent: bool | None = None if raw is None or b"@p" not in raw else raw[b"@p"] == b"1"
        """Whether its cookie outlives the browser; None: as usual."""

    def __repr__(self) -> str:
        return f"Known({self.handle!r})"

    @property
    def times(self) -> tuple[float, float, float] | None:
        """When it was created and when it ends, in Unix seconds, and its idle time; None if it is not stored."""
        if self._times is None and self._raw is not None:
            created, ends, idle = (float(self._raw[name]) / 1000 for name in (b"@c", b"@a", b"@i"))
            self._times = created, ends, idle
        return self._times

    @property
    def created(self) -> float | None:
        """When it was created, in Unix seconds."""
        return None if self.times is None else self.times[0]

    @property
    def ends(self) -> float | None:
        """When it ends whatever happens, in Unix seconds."""
        return None if self.times is None else self.times[1]

    @property
    def idle(self) -> float | None:
        """Seconds without use after which it ends."""
        return None if self.times is None else self.times[2]

    def expire(self, idle: float | None, ends: float | None) -> None:
        """Note that it lasts for other times now; None where they stay."""
        if self.times is not None:
            created, last, usual = self.times
            self._times = created, ends or last, idle or usual


@dataclass(slots=True)
class Wanted:
    """What is to become of a session beside its data."""

    rotates: bool = False
    user: str | None = None
    """Whose it is to be; empty: nobody's; None: as it is."""
    idle: float | None = None
    lasts: float | None = None
    persistent: bool | None = None
    """Whether its cookie outlives the browser; None: as it is."""
    ended: list[Known] = field(default_factory=list[Known])
    """Sessions that are to end: this object was theirs before."""

    @property
    def is_nothing(self) -> bool:
        """Whether all stays as it is."""
        times = self.idle is None and self.lasts is None and self.persistent is None
        return times and not self.rotates and self.user is None
