"""Giving slots back: at once, or as soon as Redis can be reached again.

A slot that was not given back, or that was taken without our hearing of it, keeps others out until its lease runs out.
So it is remembered, and one piece of work that all such slots of a layer share gives them back, and ends with the last.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from holdfast._orphans import Orphans
from holdfast.core.records import Recorder, Tally
from holdfast.core.sending import chunks, send
from holdfast.errors import BackendError
from holdfast.port import Port
from holdfast.scripts import limits as scripts

_RETRY: Final = 0.25
"""Seconds between two tries; while the circuit breaker is open they cost nothing."""


class Leaving:
    """Gives back the slots of one layer."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._orphans = Orphans()

    def after_fork(self) -> None:
        """In a child process: forget what is the parent's to give back."""
        self._orphans.after_fork()

    async def leave(self, port: Port, key: str, token: str, lease: float, budget: float, tally: Tally) -> None:
        """Give a slot back now if that can be done, otherwise later.

        Args:
            port: of whoever held it.
            key: of the slots.
            token: of the slot.
            lease: seconds after which it comes back by itself.
            budget: seconds that Redis may take.
            tally: where a failure is counted.
        """
        try:
            await port.call(scripts.leave_slot(key, token=token)._replace(patience=budget))
        except BackendError as error:
            self._recorder.backend_failed(tally, "leave", error)
            self.renounce(port, key, token, lease)
        except BaseException:
            self._note(port, key, token, lease)
            with suppress(RuntimeError):  # the loop is gone
                port.afterwards(partial(self._once, port))
            raise

    def renounce(self, port: Port, key: str, token: str, lease: float) -> None:
        """Note that a slot may be taken that nobody holds, and see to it that it is given back."""
        self._note(port, key, token, lease)
        if self._orphans.tend(port.lifeline()):
            port.every(_RETRY, partial(self._retry, port))

    def renounce_at_last(self, port: Port, key: str, token: str, lease: float) -> None:
        """Do what `renounce` does for a caller who was cancelled or interrupted: here and now, or soon in its loop."""
        self._note(port, key, token, lease)
        with suppress(RuntimeError):  # the loop is gone
            port.afterwards(partial(self._once, port))

    def _note(self, port: Port, key: str, token: str, lease: float) -> None:
        self._orphans.add(key, token, port.monotonic() + lease)

    async def _once(self, port: Port) -> None:
        """Try to give back what is left; if that fails, see to it that it is tried again."""
        if not await self._try(port) and self._orphans.tend(port.lifeline()):
            port.every(_RETRY, partial(self._retry, port))

    async def _try(self, port: Port) -> bool:
        for chunk in chunks(self._orphans.left(port.monotonic())):
            try:
                await send(port, [scripts.leave_slot(key, token=token) for key, token in chunk])
            except BackendError:
                return False
            for key, token in chunk:
                self._orphans.remove(key, token)
        return True

    async def _retry(self, port: Port) -> bool:
        """Try again; say whether to go on."""
        try:
            await self._try(port)
        except BaseException:  # cancelled with its loop
            self._orphans.neglect()
            raise
        return self._orphans.go_on()
