"""Mistakes in loads and in who gets what they bring, each by one changed method."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast import commands
from holdfast._flight import PROVEN, Bell, Flight, Landing
from holdfast._flights import Flights
from holdfast._orphans import Orphans
from holdfast.core import leasing
from holdfast.core.leasing import Asking
from holdfast.core.loading import Loading
from holdfast.core.returning import Returning
from holdfast.core.settling import Ending, Settling
from holdfast.policy.names import Places


def refresh_without_lease(patch: pytest.MonkeyPatch) -> None:
    """A refresh in the background stores without comparing."""
    right = Settling.ending

    def ending(self: Settling, call: Any, lease: Any, loaded: Any) -> Ending:
        if call.background and loaded.raw is not None:
            return Ending("fill", commands.put(call.key, loaded.raw, loaded.kept))
        return right(self, call, lease, loaded)

    patch.setattr(Settling, "ending", ending)


def join_no_proof(patch: pytest.MonkeyPatch) -> None:
    """Followers take the value though the fill was refused."""
    right = Settling.ended
    patch.setattr(Settling, "ended", lambda self, *args: (right(self, *args)[0], True))


def join_after_fill_sent(patch: pytest.MonkeyPatch) -> None:
    """A flight can be joined until the reply of its fill is here."""
    patch.setattr(Settling, "close", lambda *_: None)


class _LoudBell(Bell):
    """A bell that takes what a message brings for the truth."""

    __slots__ = ("told",)

    def __init__(self) -> None:
        super().__init__()
        self.told: bytes | None = None

    def heard(self, topic: str, message: bytes) -> None:
        if message.startswith(b"done "):
            self.told = message[5:]
        super().heard(topic, message)


def wake_payload_to_all(patch: pytest.MonkeyPatch) -> None:
    """A woken flight hands the value in the message to all its members."""
    patch.setattr(leasing, "Bell", _LoudBell)
    right = Asking.wait

    async def wait(self: Any, lease: float) -> bool:
        again = await right(self, lease)
        if again and self.bell.told is not None:
            self.leasing.flights.close(self.flight)
            self.flight.land(Landing(self.bell.told, None, True, PROVEN, "coalesced"))
            return False
        return again

    patch.setattr(Asking, "wait", wait)


def late_joiner_takes_read(patch: pytest.MonkeyPatch) -> None:
    """A value found by `acquire` goes to those, too, who joined after it was sent."""
    right = Asking.land

    def land(self: Asking, look: Any) -> bool:
        self.number = self.watched_at = PROVEN
        return right(self, look)

    patch.setattr(Asking, "land", land)


def sie_candidate_to_all(patch: pytest.MonkeyPatch) -> None:
    """The stale value that the leader has read goes to all members when the loader fails."""
    right = Loading._give_up

    async def give_up(self: Loading, port: Any, call: Any, flight: Flight, *args: Any, **more: Any) -> None:
        if call.look.candidate is not None:
            self._flights.close(flight)
            flight.land(Landing(call.look.raw, None, True, PROVEN))
        await right(self, port, call, flight, *args, **more)

    patch.setattr(Loading, "_give_up", give_up)


def result_by_name(patch: pytest.MonkeyPatch) -> None:
    """What is not kept lies under the name, not under the token."""
    patch.setattr(Places, "result", lambda self, _: f"{self.lease}:result")


def cancel_kills_flight(patch: pytest.MonkeyPatch) -> None:
    """Cancelling a member ends the flight, and nobody tells the others."""
    patch.setattr(Flights, "leave", lambda _, flight: flight.cancel())
    patch.setattr(Flight, "ended", lambda _: None)


def no_poll(patch: pytest.MonkeyPatch) -> None:
    """Waiters rely on messages alone."""
    patch.setattr(leasing, "pause", lambda *_, **__: float("inf"))


def no_detaching(patch: pytest.MonkeyPatch) -> None:
    """Whoever changes a key leaves the loads of this process joinable."""
    patch.setattr(Flights, "detach", lambda *_: None)


def no_detaching_of_unleased(patch: pytest.MonkeyPatch) -> None:
    """Whoever invalidates a tag leaves the loads joinable that no lease refuses."""
    patch.setattr(Flights, "detach_unleased", lambda _: None)


def running_loads_taken_over(patch: pytest.MonkeyPatch) -> None:
    """Whoever is told to wait takes over the lease, even if another process loads under it."""

    def recall(self: Orphans, key: str, nonce: str) -> bool:
        self.remove(key, nonce)
        self.add(key, nonce, float("inf"))
        return True

    patch.setattr(Orphans, "recall", recall)


def orphans_not_tended(patch: pytest.MonkeyPatch) -> None:
    """A lease that could not be given back is left to run out."""
    patch.setattr(Returning, "tend", lambda *_: None)


def circles_not_seen(patch: pytest.MonkeyPatch) -> None:
    """Nobody remembers who waits for whom."""
    patch.setattr(Flights, "begin_wait", lambda *_, **__: None)


def flights_not_closed(patch: pytest.MonkeyPatch) -> None:
    """A flight stays joinable when it has ended."""
    patch.setattr(Flights, "close", lambda *_: None)


def no_hanging_up(patch: pytest.MonkeyPatch) -> None:
    """Who has waited goes on listening."""
    patch.setattr(Asking, "hang_up", lambda *_: None)


def waiting_raises(patch: pytest.MonkeyPatch) -> None:
    """Something that nobody expects goes wrong."""

    def pause(*_: Any, **__: Any) -> float:
        raise ArithmeticError

    patch.setattr(leasing, "pause", pause)
