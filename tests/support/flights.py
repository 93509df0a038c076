"""What runs inside the cache of a layer, for tests that force an order of events."""

from __future__ import annotations

from collections.abc import Callable

from holdfast import Layer
from holdfast.core.sharing import _LATE
from support.colours import Colour


def joined(layer: Layer, *, late: bool = False) -> int:
    """Return how many callers are members of loads that can still be joined; if `late`, of those who are late."""
    flights = tuple(layer.engine.caching.flights._open.values())
    return sum(flight.members for flight in flights if not late or flight.key.endswith(_LATE))


async def reached(check: Callable[[], object]) -> None:
    """Let the running loop go on until `check` is truthy."""
    await Colour("async").until(check, "what the test waits for has come")
