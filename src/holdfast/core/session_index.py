"""Which sessions a user has: entered when somebody logs in, listed, and revoked.

The index of a user lies in another slot than the sessions, so no script sees both. Three rules hold them together:

1. Whoever logs in enters the index first, then saves the session, then looks: if the mark of the user has changed, or
   the session is not in the index any more, it ends.
2. Whoever revokes leaves a new mark first, and then reads the index.
3. Only what has ended is taken out of the index: what is there and is not the user's yet may be about to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from holdfast.policy.keys import guard
from holdfast.policy.names import Names
from holdfast.port import Port
from holdfast.scripts import sessions as scripts

_MARKED: Final = 3600.0
"""Seconds for which a log-in can find out that all sessions were revoked meanwhile: far longer than one takes."""
_MARGIN: Final = 60.0
"""Seconds that the place in the index outlives a session, which is stored a little later."""
_AT_ONCE: Final = 500
"""Sessions of a user that are looked at together."""
MOST_LISTED: Final = 500


class SessionInfo(NamedTuple):
    """A session as its user may see it in a list of devices."""

    handle: str
    created: float
    """Unix seconds of the server."""
    seen: float
    """When it was used last, to within a tenth of its idle time."""
    expires: float
    """When it ends whatever happens."""


class SessionIndex:
    """Finds the sessions of users."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def _places(self, user: str) -> tuple[str, str]:
        return self._names.session_user(guard(user, "a session's user"))

    async def enter(self, port: Port, user: str, handle: str, lasts: float) -> bytes | str | None:
        """Enter a session that is going to be a user's; return what `has` wants to know, None without a user.

        Args:
            port: where to ask.
            user: empty if it is nobody's.
            handle: of the session.
            lasts: seconds that it lasts at most.
        """
        if not user:
            return None
        reply: bytes | str = await port.call(scripts.enter(*self._places(user), handle, lasts + _MARGIN))
        return reply

    async def has(self, port: Port, user: str, handle: str, mark: bytes | str | None) -> bool:
        """Say whether a session that was entered is there, and the user's sessions were not revoked since."""
        if mark is None:
            return True
        index, key = self._places(user)
        found, score = await port.pipeline([scripts.mark(key), scripts.rank(index, handle)])
        return bool((found or b"") == (mark or b"")) and score is not None

    async def leave(self, port: Port, user: str, handle: str) -> None:
        """Take a session out of the index of whom it was."""
        await port.call(scripts.leave(self._places(user)[0], [handle]))

    async def revoke(self, port: Port, handle: str) -> bool:
        """End a session by its handle; say whether there was one."""
        gone, *user = await port.call(scripts.finish(self._names.session(handle)))
        if gone and user[0]:
            await self.leave(port, user[0].decode(), handle)
        return bool(gone)

    async def revoke_all(self, port: Port, user: str, keep: str) -> int:
        """End all sessions of a user but one; return how many there were."""
        index, mark = self._places(user)
        await port.call(scripts.make_mark(mark, port.token(), _MARKED))
        handles = [handle for handle in await self._entered(port, index) if handle != keep]
        count = 0
        for some in _parts(handles):
            replies = await port.pipeline([scripts.finish(self._names.session(handle), user) for handle in some])
            ended = [handle for handle, reply in zip(some, replies, strict=True) if reply[0]]
            if ended:
                await port.call(scripts.leave(index, ended))
            count += len(ended)
        return count

    async def list(self, port: Port, user: str) -> list[SessionInfo]:
        """Return the sessions of a user, the first to end first, `MOST_LISTED` at most."""
        live: list[SessionInfo] = []
        for some in _parts(await self._entered(port, self._places(user)[0])):
            replies = await port.pipeline([scripts.describe(self._names.session(handle)) for handle in some])
            pairs = zip(some, replies, strict=True)
            live += [_info(handle, reply) for handle, reply in pairs if reply and reply[0].decode() == user]
            if len(live) >= MOST_LISTED:  # some in the index have run out before their time
                break
        return live[:MOST_LISTED]

    async def _entered(self, port: Port, index: str) -> Sequence[str]:
        """Return all handles in an index: in parts, they would move while others enter and leave."""
        return [each.decode() for each in await port.call(scripts.entered(index))]


def _parts(handles: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(handles), _AT_ONCE):
        yield handles[start : start + _AT_ONCE]


def _info(handle: str, reply: Any) -> SessionInfo:
    created, seen, ends = (float(each) / 1000 for each in reply[1:])
    return SessionInfo(handle, created, seen, ends)
