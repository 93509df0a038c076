"""The commands of the locks: taken, kept and given back, at once or in order of arrival, alone or shared.

Each function returns the call of one script; the headers of the ``.lua`` files have the replies, and the reasons. Here
are no decisions and no names: keys and members come in whole, times in seconds. All keys of one call share a slot.

A member is whoever holds or waits: new for each acquisition. That of a writer begins with ``w:``, that of any other who
shares with ``r:``.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from holdfast.commands import Command, milliseconds
from holdfast.scripts import Script, compose

Places: TypeAlias = tuple[str, str, str, str, str]
"""Where a lock is: the keys of who holds it, of the last fencing token, of the queue and of who in it is alive; and the
channel that tells who may try."""


def _script(name: str, *parts: str, repeatable: bool = False) -> Script:
    return compose(name, tuple(f"locks/{part}" for part in (*parts, name)), repeatable=repeatable)


_TAKE: Final = _script("take", "fence", repeatable=True)
_KEEP: Final = _script("keep", repeatable=True)
_LEAVE: Final = _script("leave")
_TAKE_FAIR: Final = _script("take_fair", "clock", "fence", "queue", repeatable=True)
_LEAVE_FAIR: Final = _script("leave_fair", "clock", "queue")
_TAKE_SHARE: Final = _script("take_share", "clock", "fence", "queue", "share", repeatable=True)
_KEEP_SHARE: Final = _script("keep_share", "clock", "share", repeatable=True)
_LEAVE_SHARE: Final = _script("leave_share", "clock", "queue", "share")
_FIX_FENCE: Final = _script("fix_fence", "fence", repeatable=True)


def take(places: Places, member: str, seconds: float) -> Command:
    """Take a lock for `seconds` if it is free; a member that holds it renews it.

    Returns:
        The command; its reply is ``[1, fencing token]``, or ``[0, milliseconds until the lease ends]``.
    """
    held, fence, *_ = places
    return _TAKE.command((held, fence), (member, milliseconds(seconds)))


def keep(places: Places, member: str, seconds: float) -> Command:
    """Keep a lock for `seconds` from now; the reply is 1, or 0 if it is lost."""
    return _KEEP.command((places[0],), (member, milliseconds(seconds)))


def leave(places: Places, member: str) -> Command:
    """Give a lock back; the reply is 1, or 0 if it was lost.

    It is not marked as repeatable, since a second execution says that it was lost. It harms nothing.
    """
    held, *_, news = places
    return _LEAVE.command((held,), (member, news))


def take_fair(places: Places, member: str, seconds: float, waits: bool, waiting: float) -> Command:
    """Take a lock for `seconds` if it is free and nobody waits who came before.

    Args:
        places: where the lock is.
        member: whoever asks.
        seconds: how long the lease lasts.
        waits: whether to stand in the queue if it is refused, or to go on standing there.
        waiting: seconds from now for which it then counts as waiting.

    Returns:
        The command; its reply is ``[1, fencing token]``, or ``[0, milliseconds, place]``: after how long to look again
        even if it is not called, -1 only when called, and the place in the queue from 1, 0 outside of it.
    """
    held, fence, queue, alive, news = places
    words = (member, news, milliseconds(seconds), int(waits), milliseconds(waiting))
    return _TAKE_FAIR.command((held, queue, alive, fence), words)


def leave_fair(places: Places, member: str) -> Command:
    """Give a lock back or stop waiting for it, and call the next; the reply is 1, or 0 if it was not held.

    It is not marked as repeatable, since a second execution says that it was not. It harms nothing.
    """
    held, _, queue, alive, news = places
    return _LEAVE_FAIR.command((held, queue, alive), (member, news))


def take_share(
    places: Places, member: str, seconds: float, capacity: int, exclusive: bool, waits: bool, waiting: float
) -> Command:
    """Take a part of what several may hold, for `seconds`, if there is room and nobody waits who came before.

    Args:
        places: where it is.
        member: whoever asks.
        seconds: how long the lease lasts.
        capacity: how many may hold a part; 0 for as many as like.
        exclusive: whether it wants all for itself, as a writer; `member` begins with ``w:`` then, else not.
        waits: whether to stand in the queue if it is refused, or to go on standing there.
        waiting: seconds from now for which it then counts as waiting.

    Returns:
        The command; its reply is as that of `take_fair`.
    """
    held, fence, queue, alive, news = places
    words = (member, news, milliseconds(seconds), int(waits), milliseconds(waiting), capacity, int(exclusive))
    return _TAKE_SHARE.command((held, queue, alive, fence), words)


def keep_share(places: Places, member: str, seconds: float) -> Command:
    """Keep a part for `seconds` from now; the reply is 1, or 0 if it is lost."""
    return _KEEP_SHARE.command((places[0],), (member, milliseconds(seconds)))


def leave_share(places: Places, member: str) -> Command:
    """Give a part back or stop waiting for one, and call the next; the reply is as that of `leave_fair`."""
    held, _, queue, alive, news = places
    return _LEAVE_SHARE.command((held, queue, alive), (member, news))


def fix_fence(places: Places, member: str, fence: int) -> Command:
    """See that the last fencing token is at least `fence`; the reply is 1, or 0 if the lock is lost."""
    held, stored, *_ = places
    return _FIX_FENCE.command((held, stored), (member, fence))
