"""Giving slots and locks back: at once, or as soon as Redis can be reached again.

A slot that was not given back, or that was taken without our hearing of it, keeps others out until its lease runs out.
So it is remembered, and one piece of work that all such slots of a layer share gives them back, and ends with the last.
What is said of slots here is true of locks.

Who has not heard whether his slot was taken may give it back too early: on another connection he overtakes himself, and
is told that there was nothing to give back. That proves nothing, so he comes again, after pauses that grow with the
time since: a slot that is taken so many seconds late keeps others out for about as many more, and not for its lease.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from holdfast._orphans import Orphans
from holdfast.commands import Command, Reply
from holdfast.core.records import Recorder, Tally
from holdfast.core.sending import chunks, send
from holdfast.errors import BackendError
from holdfast.port import Port

_RETRY: Final = 0.25
"""Seconds between two tries; while the circuit breaker is open they cost nothing."""
_LONGEST: Final = 0.1
"""Seconds that a try may take where Redis is not known to be slower: Ctrl-C, and renewals of slots, wait for it."""
_SLOWER: Final = 4.0
"""How many times as long as the last slot took to be taken a try may take."""
_MOST: Final = 1.0
"""Seconds that no try takes longer than."""


class Left(NamedTuple):
    """A slot that nobody uses any more."""

    key: str
    token: str
    lease: float
    """Seconds after which it comes back by itself."""
    doubted_until: float = 0.0
    """Until when it may be taken late, by the port's clock, since nobody has heard of it; 0 if that cannot happen."""
    again: bool = False
    """Whether it may be taken late though it was found and given back: commands for it may be sent more than once."""


@dataclass(slots=True)
class _Doubt:
    """That a slot which Redis does not know is not taken later."""

    until: float
    again: bool
    """Whether it lasts even if the slot was found once."""
    since: float = 0.0
    """When Redis first said that it does not know it; 0 before that."""
    due: float = 0.0

    def put_off(self, now: float) -> bool:
        """Note that Redis does not know the slot; say whether to ask again later."""
        self.since = self.since or now
        self.due = now + max(_RETRY, now - self.since)
        return now < self.until


class Leaving:
    """Gives back the slots, or the locks, of one layer."""

    def __init__(self, recorder: Recorder, command: Callable[[str, str], Command]) -> None:
        """Set it up.

        Args:
            recorder: where failures are told.
            command: makes what gives a slot back, of its key and token; the reply is 1, or 0 if Redis does not know it.
        """
        self._recorder = recorder
        self._command = command
        self._orphans = Orphans()
        self._doubts: dict[str, _Doubt] = {}
        """By token; only of orphans."""
        self._patience = _LONGEST

    def after_fork(self) -> None:
        """In a child process: forget what is the parent's to give back."""
        self._orphans.after_fork()
        self._doubts = {}

    def note_pace(self, took: float) -> None:
        """Note how many seconds it took to take a slot: who is far from Redis must be patient later, too."""
        self._patience = min(_MOST, max(_LONGEST, _SLOWER * took))

    async def leave(self, port: Port, left: Left, budget: float, tally: Tally) -> None:
        """Give a slot back now if that can be done, otherwise later.

        Args:
            port: of whoever held it.
            left: the slot.
            budget: seconds that Redis may take.
            tally: where a failure is counted.
        """
        try:
            found = await port.call(self._command(left.key, left.token)._replace(patience=budget))
        except BackendError as error:
            self._recorder.backend_failed(tally, "leave", error)
            self.renounce(port, left)
        except BaseException:
            self.renounce_at_last(port, left)
            raise
        else:
            if (left.again or not found) and port.monotonic() < left.doubted_until:
                self.renounce(port, left)

    def renounce(self, port: Port, left: Left) -> None:
        """Note that a slot may be taken that nobody holds, and see to it that it is given back."""
        self._note(port, left)
        self._tend(port)

    def renounce_at_last(self, port: Port, left: Left) -> None:
        """Do what `renounce` does for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        self._note(port, left)
        with suppress(RuntimeError):  # the loop is gone
            port.afterwards(partial(self._once, port, left))

    def _note(self, port: Port, left: Left) -> None:
        now = port.monotonic()
        if left.doubted_until > now:  # known before the orphan is, which another thread may ask for at once
            self._doubts[left.token] = _Doubt(left.doubted_until, left.again)
        self._orphans.add(left.key, left.token, now + left.lease)
        if not self._orphans.recall(left.key, left.token):  # there are too many
            self._doubts.pop(left.token, None)

    def _tend(self, port: Port) -> None:
        if self._orphans.tend(port.lifeline()):
            port.every(_RETRY, partial(self._retry, port))

    async def _once(self, port: Port, left: Left) -> None:
        """Try to give one slot back, also if there were too many to note it; see to what is left then."""
        command = self._command(left.key, left.token)._replace(patience=self._patience)
        with suppress(BackendError):
            self._settle(left.key, left.token, await port.call(command), port.monotonic())
        self._tend(port)

    def _settle(self, key: str, token: str, found: Reply, now: float) -> None:
        """Note what came of giving a slot back: it is done with, or there is a doubt."""
        doubt = self._doubts.get(token)
        if doubt is None or (found and not doubt.again) or not doubt.put_off(now):
            self._orphans.remove(key, token)
            self._doubts.pop(token, None)

    async def _try(self, port: Port) -> None:
        """Try to give back what is due, as far as that works."""
        now = port.monotonic()
        known = self._orphans.left(now)
        self._forget_doubts(now)
        for chunk in chunks([each for each in known if self._is_due(each[1], now)]):
            commands = [self._command(key, token)._replace(patience=self._patience) for key, token in chunk]
            try:
                replies = await send(port, commands)
            except BackendError:
                return
            for (key, token), found in zip(chunk, replies, strict=True):
                self._settle(key, token, found, port.monotonic())

    def _is_due(self, token: str, now: float) -> bool:
        doubt = self._doubts.get(token)
        return doubt is None or doubt.due <= now

    def _forget_doubts(self, now: float) -> None:
        for token, doubt in list(self._doubts.items()):
            if doubt.until <= now:
                self._doubts.pop(token, None)

    async def _retry(self, port: Port) -> bool:
        """Try again; say whether to go on."""
        try:
            await self._try(port)
        except BaseException:  # cancelled with its loop
            self._orphans.neglect()
            raise
        return self._orphans.go_on()
