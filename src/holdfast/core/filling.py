"""Sending loaded values to Redis so that invalidations stay true: the order of sending decides nothing there.

Commands of one process travel over several connections, so a SET that was sent before an UNLINK may be executed after
it. Rules 5 to 7 of `holdfast._flights` therefore keep the two apart in time. That holds within this process only, and
only for commands that are answered: a SET that timed out may still be executed later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast._flight import LOADING, CircularWait, Flight
from holdfast._flights import Flights
from holdfast.commands import Command, unlink
from holdfast.port import Port, WaitOver

_PATIENCE: Final = 5.0
"""Seconds to wait for a fill. It is one command, so only a stuck event loop takes longer; such a fill is doomed."""


async def hold(flights: Flights, port: Port, keys: Sequence[str]) -> None:
    """Make sure that no load of these keys is storing anything, nor begins to before `flights.release`."""
    fills = flights.hold(keys)
    try:
        for fill in fills:
            if not await _is_over(flights, port, fill, LOADING.get()):
                flights.doom(fill)
    except BaseException:
        flights.release(keys)
        raise


async def send_fill(flights: Flights, port: Port, flight: Flight, command: Command) -> bool:
    """Take a flight off the map and send what it has to do to its key; return whether that was done and stays.

    Raises:
        BackendError: Redis could not be used.
    """
    earlier = flights.begin_fill(flight)
    if earlier is None:
        return False
    try:
        for fill in earlier:
            if not await _is_over(flights, port, fill, (*LOADING.get(), flight)):
                if flight.replaces:
                    flights.doom(fill)  # it holds an older value, which must not stay
                return False
        await port.call(command)
        return not flight.revoked
    finally:
        if not flights.end_fill(flight):
            try:
                await port.call(unlink([flight.key]))
            finally:
                flights.end_fill(flight, undone=True)


async def _is_over(flights: Flights, port: Port, fill: Flight, inside: tuple[Flight, ...]) -> bool:
    """Wait for a fill; say whether it is over, or False where waiting would take too long or never end."""
    if fill.filled is None or fill.filled.done():
        return True
    blocked = blocked_by(port)
    try:
        flights.begin_wait(fill, blocked, inside)
    except CircularWait:
        return False
    try:
        await port.wait(fill.filled, _PATIENCE)
    except WaitOver:
        return False
    finally:
        flights.end_wait(fill, blocked, inside)
    return True


def blocked_by(port: Port) -> int | None:
    """Return the place that a caller on this port blocks while it waits, None if others go on there."""
    place = port.place()
    return None if port.may_wait_for(place) else place
