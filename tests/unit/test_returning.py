"""The work that gives back leases which are left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from holdfast._calls import drive
from holdfast._flights import Flights
from holdfast.commands import Command
from holdfast.core import sending
from holdfast.core.returning import Returning
from holdfast.errors import BackendUnavailable
from holdfast.policy.names import Names


def always() -> bool:
    return True


class Port:
    """A port whose commands fail as told, and whose recurring work is run by hand."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.failing: dict[str, BaseException] = {}
        self.rounds: list[Callable[[], Coroutine[Any, Any, bool]]] = []

    async def pipeline(self, commands: Sequence[Command]) -> list[Any]:
        return [await self.call(command) for command in commands]

    async def call(self, command: Command) -> Any:
        self.sent.append(command.keys[1])
        if command.keys[1] in self.failing:
            raise self.failing[command.keys[1]]
        return [1, None]

    def monotonic(self) -> float:
        return 1.0

    def lifeline(self) -> Callable[[], bool]:
        return always

    def every(self, seconds: float, work: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self.rounds.append(work)


def tended(keys: str) -> tuple[Flights, Any, Port]:
    """Return what a process has left behind, and the port on which it is given back."""
    flights, port = Flights(), Port()
    returning: Any = Returning(flights, Names("n"))
    for key in keys:
        flights.orphans.add(f"n:cache:{{{key}}}", "nonce", 5.0)
    returning.tend(port)
    returning.tend(port)
    assert len(port.rounds) == 1
    return flights, returning, port


def test_what_fails_does_not_keep_up_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each group is tried for itself, and again until it has succeeded; then the work ends."""
    monkeypatch.setattr(sending, "CHUNK", 1)
    flights, _, port = tended("ab")
    port.failing["n:lease:{a}"] = BackendUnavailable("away")
    assert drive(port.rounds[0]())
    assert flights.orphans.left(1.0) == [("n:cache:{a}", "nonce")]
    port.failing.clear()
    assert not drive(port.rounds[0]())
    assert port.sent == ["n:lease:{a}", "n:lease:{b}", "n:lease:{a}"]
    assert not flights.orphans


def test_work_that_was_cancelled_is_begun_again() -> None:
    """A loop may cancel all that runs in it and go on: whoever comes next begins anew."""
    _, returning, port = tended("a")
    port.failing["n:lease:{a}"] = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        drive(port.rounds[0]())
    returning.tend(port)
    assert len(port.rounds) == 2
