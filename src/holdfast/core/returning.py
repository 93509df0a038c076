"""Giving leases back that bring no result: at once, or as soon as Redis can be reached again.

A lease that could not be given back keeps everybody waiting for a load that is over, until it runs out. So it is
remembered as an orphan. In this process whoever is told to wait for it takes it over; for the sake of others, one piece
of work that all orphans of the layer share tries to give them back, and ends with the last of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from holdfast._flights import Flights
from holdfast.commands import Command
from holdfast.core.call import Call
from holdfast.core.sending import chunks, send
from holdfast.errors import BackendError
from holdfast.policy.frame import instant
from holdfast.policy.freshness import retry_pause
from holdfast.policy.names import Names
from holdfast.port import Port
from holdfast.scripts import cache as scripts

NONCE: Final = 16
"""How many characters of a token are the nonce that was sent for it."""
_RETRY: Final = 0.25
"""Seconds between two tries; while the circuit breaker is open they cost nothing."""


class Returning:
    """Gives back the leases of one layer."""

    def __init__(self, flights: Flights, names: Names) -> None:
        self._orphans = flights.orphans
        self._names = names

    def command(self, key: str, token: str, retry_at: bytes = b"") -> Command:
        """Return what ends a lease without a result.

        Args:
            key: of what was to be loaded.
            token: the token of the lease, or its nonce.
            retry_at: if the load failed, when to try the next one, as the frame holds it.
        """
        places = self._names.places(key)
        return scripts.abandon(
            places.value or places.lease, places.lease, token=token, channel=places.news, retry_at=retry_at
        )

    async def give_back(self, port: Port, leases: Sequence[tuple[Call, str]], failed: float | None = None) -> None:
        """End leases, each given by its call and its token or nonce: now if that can be done, otherwise later.

        Args:
            port: of whoever loaded.
            leases: what to end.
            failed: if the loads failed, when; then the next ones are tried after a pause in which what is stored is
                served.
        """
        for chunk in chunks(leases):
            try:
                await send(port, [self.command(call.key, token, _retry_at(call, failed)) for call, token in chunk])
            except BackendError:
                self.renounce(port, chunk)
                continue
            for call, token in chunk:
                self._orphans.remove(call.key, token[:NONCE])

    async def give_back_at_last(self, port: Port, leases: Sequence[tuple[Call, str]], error: BaseException) -> None:
        """End leases when the work is cancelled or interrupted by an error.

        Here and now, since a loop that is about to end waits for the work that it has cancelled, and for no other. If
        that is cut short too, it is tried afterwards; and the next load in this process takes over what is left.
        """
        self._note(port, leases)
        if not isinstance(error, GeneratorExit):  # then nothing may be awaited any more
            try:
                await self.give_back(port, leases)
            except BaseException as again:
                self._give_back_afterwards(port, leases)
                if isinstance(again, KeyboardInterrupt | SystemExit):
                    raise
            return
        self._give_back_afterwards(port, leases)

    def _give_back_afterwards(self, port: Port, leases: Sequence[tuple[Call, str]]) -> None:
        with suppress(RuntimeError):  # the loop is gone
            port.afterwards(lambda: self.give_back(port, leases))

    def renounce(self, port: Port, leases: Sequence[tuple[Call, str]]) -> None:
        """Note that leases may be left under which nothing runs any more, and see to it that they are given back."""
        self._note(port, leases)
        self.tend(port)

    def _note(self, port: Port, leases: Sequence[tuple[Call, str]]) -> None:
        now = port.monotonic()
        for call, token in leases:
            self._orphans.add(call.key, token[:NONCE], now + call.plan.lease)

    def tend(self, port: Port) -> None:
        """See to it that somebody gives back what is left: whoever did may have ended with a loop."""
        if self._orphans and self._orphans.tend(port.lifeline()):
            port.every(_RETRY, partial(self._retry, port))

    async def _retry(self, port: Port) -> bool:
        """Try to give back what is left; say whether to try again."""
        try:
            for chunk in chunks(self._orphans.left(port.monotonic())):
                with suppress(BackendError):  # next time, perhaps
                    await send(port, [self.command(key, nonce) for key, nonce in chunk])
                    for key, nonce in chunk:
                        self._orphans.remove(key, nonce)
        except BaseException:  # cancelled with its loop
            self._orphans.neglect()
            raise
        return self._orphans.go_on()


def _retry_at(call: Call, failed: float | None) -> bytes:
    extra = call.plan.leeway.extra
    return instant(failed + retry_pause(extra)) if failed is not None and extra else b""
