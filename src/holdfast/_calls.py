"""The seam between sync and async code.

Every feature is written once, as an `async def` over a `Port`. Async callers await it; sync callers run it with
`drive`. Three facts keep that sound:

1. A blocking port never suspends, so one `send(None)` runs a coroutine to its end.
2. A user's function is called through `as_coroutine` on the sync side, and awaited on the async side.
3. A coroutine that does suspend under `drive` is a defect: it is closed and reported, never left half run.

Nothing here knows about Redis, clocks or threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, cast

T = TypeVar("T")


class SmuggledStop(Exception):  # noqa: N818 - a vehicle, not an error
    """Carries a user's `StopIteration` out of a coroutine, where PEP 479 would turn it into a `RuntimeError`."""

    def __init__(self, error: StopIteration) -> None:
        super().__init__()
        self.error = error


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, without an event loop, and return its result.

    Raises:
        RuntimeError: the coroutine suspended, that is, something asynchronous was awaited on the sync path.
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    except SmuggledStop as smuggled:
        raise smuggled.error from None
    coroutine.close()
    msg = "a blocking call suspended: something asynchronous was awaited on the sync path"
    raise RuntimeError(msg)


async def as_coroutine(function: Callable[[], T]) -> T:
    """Call a sync function from a driven coroutine."""
    try:
        return function()
    except StopIteration as stop:
        raise SmuggledStop(stop) from None


def original_error(error: BaseException) -> BaseException:
    """Return what the user's function raised: `error`, or the `StopIteration` that it carries."""
    return error.error if isinstance(error, SmuggledStop) else error


def is_async(function: Callable[..., object]) -> bool:
    """Say whether calling `function` gives an awaitable: `async def`, also behind `partial` or in `__call__`.

    The function itself decides, not one that it wraps: a wrapper may make async of plain, or plain of async.
    """
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, classmethod | staticmethod):
        function = cast("Any", function).__func__
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is wanted, not callability
    return inspect.iscoroutinefunction(call)


Load = Callable[[], Awaitable[T]]
"""What the core calls to get a value from its source."""
